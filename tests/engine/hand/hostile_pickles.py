"""Pickles that would harm whoever reads them, written opcode by opcode, and what is to be said of each."""

from __future__ import annotations

import struct
from pathlib import Path


def running(canary: Path) -> dict[str, tuple[bytes, str]]:
    """Name -> (pickle, a part of the sentence): each of them makes `canary` in Python's own reader."""
    shell = f"touch {canary}"
    code = f"open({str(canary)!r}, 'w').close()"
    return {
        "os.system by GLOBAL and REDUCE": (b"cos\nsystem\n(" + _s(shell) + b"tR.", "wants os.system"),
        "posix.system": (b"\x80\x02cposix\nsystem\n" + _u(shell) + b"\x85R.", "wants posix.system"),
        "os.system by STACK_GLOBAL": (
            b"\x80\x04\x8c\x02os\x8c\x06system\x93" + _u(shell) + b"\x85R.",
            "wants os.system",
        ),
        "os.system out of the memo": (
            b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940(h\x00h\x01\x930h\x00h\x01\x93"
            + _u(shell)
            + b"\x85R.",
            "wants os.system",
        ),
        "os.system by INST": (b"(" + _s(shell) + b"ios\nsystem\n.", "old-style instance"),
        "os.system by OBJ": (b"(cos\nsystem\n" + _s(shell) + b"o.", "wants os.system"),
        "eval of Python 2": (b"c__builtin__\neval\n(" + _s(code) + b"tR.", "wants __builtin__.eval"),
        "exec": (b"\x80\x02cbuiltins\nexec\n" + _u(code) + b"\x85R.", "wants builtins.exec"),
        "getattr of a module": (
            b"cbuiltins\ngetattr\n(cimportlib\nimport_module\n(S'os'\ntRS'system'\ntR(" + _s(shell) + b"tR.",
            "wants builtins.getattr",
        ),
        "os.mkdir": (b"\x80\x02cos\nmkdir\n" + _u(str(canary)) + b"\x85R.", "wants os.mkdir"),
        "a dotted name of an allowed module": (
            b"\x80\x04\x8c\x05numpy\x8c\x12lib.npyio.os.mkdir\x93" + _u(str(canary)) + b"\x85R.",
            "wants numpy.lib.npyio.os.mkdir",
        ),
        "map, which runs when a list is made of it": (
            b"cbuiltins\nlist\n(cbuiltins\nmap\n(cos\nsystem\n(" + _s(shell) + b"ltRtR.",
            "wants builtins.list",
        ),
        "a class that is given __setstate__": (
            b"\x80\x02ccollections\nOrderedDict\n)R}X\x0c\x00\x00\x00__setstate__cos\nsystem\nsb"
            + _u(shell)
            + b"b.",
            "wants collections.OrderedDict",
        ),
        "numpy's runner of strings": (
            b"\x80\x02cnumpy.testing\nmeasure\n" + _u(code) + b"\x85R.",
            "wants numpy.testing.measure",
        ),
        "behind a harmless dictionary": (
            b"\x80\x02}(U\x0av_templateK\x01U\x01fcos\nsystem\n" + _u(shell) + b"\x85Ru.",
            "wants os.system",
        ),
    }


def resting() -> dict[str, tuple[bytes, str]]:
    """Name -> (pickle, a part of the sentence): too much, too deep, too large or of another kind."""
    doubled = b"\x80\x02})" + b"2\x86" * 60 + b"K\x01s."
    own = b"cchumpy.ch\nCh\n)\x81q\x00}U\x01xh\x00sb"
    return {
        "subprocess by NEWOBJ": (b"\x80\x02csubprocess\nPopen\n)\x81.", "wants subprocess.Popen"),
        "subprocess by NEWOBJ_EX": (
            b"\x80\x04\x8c\x0asubprocess\x8c\x05Popen\x93)}\x92.",
            "wants subprocess.Popen",
        ),
        "numpy.load": (b"cnumpy\nload\n(S'/etc/passwd'\ntR.", "wants numpy.load"),
        "ctypes": (b"cctypes\nCDLL\n(S'libc.so.6'\ntR.", "wants ctypes.CDLL"),
        "copyreg": (b"ccopyreg\nadd_extension\n(S'os'\nS'system'\nI1\ntR.", "wants copyreg.add_extension"),
        "a name with lines and colours": (b"\x80\x04\x8c\x07os\n\x1b[1m\x8c\x06system\x93.", "wants os??[1m"),
        "a name of 5000 letters": (b"c" + b"o" * 5000 + b"\nx\n.", "wants " + "o" * 40 + "."),
        "a name that is a number": (b"\x80\x04K\x01K\x02\x93.", "a name that is none"),
        "the registry of extensions": (b"\x80\x02\x82\x01.", "registry of extensions"),
        "persistent ids": (b"P/etc/passwd\n.", "outside the file"),
        "binary persistent ids": (b"\x80\x02K\x01Q.", "outside the file"),
        "buffers of somebody else": (b"\x80\x05\x97.", "outside the file"),
        "a call of text": (b"\x80\x02U\x02os)R.", "calls what is no function"),
        "a state for a class": (b"\x80\x02cchumpy.ch\nCh\n}b.", "fills what cannot be filled"),
        "a state for a list": (b"\x80\x02]}b.", "fills what cannot be filled"),
        "items into nothing": (b"\x80\x02K\x01K\x02s.", "fills what cannot be filled"),
        "a pop from an empty stack": (b"\x80\x020.", "takes what it has not given"),
        "a pop below a mark": (b"\x80\x02K\x01(0.", "takes what it has not given"),
        "a memo that was not filled": (b"\x80\x02h\x05.", "takes what it has not given"),
        "an index below zero": (b"Np-1\n.", "takes what it has not given"),
        "tuples in tuples as a key": (doubled, "keys that are no names"),
        "a gigabyte of bytes": (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 30) + b"x.", "cut off"),
        "2^63 bytes": (b"\x80\x05\x96" + struct.pack("<Q", 1 << 63) + b"x.", "cut off"),
        "text of a negative length": (b"\x80\x02T" + struct.pack("<i", -5) + b"x.", "cut off"),
        "a large number": (b"\x80\x02\x8b" + struct.pack("<i", 4096) + b"\x7f" * 4096 + b".", "too large"),
        "a number of many digits": (b"L" + b"9" * 100_000 + b"L\n.", "neither text nor number"),
        "text that is not quoted": (b"Sos\n.", "neither text nor number"),
        "text that is not UTF-8": (b"\x80\x02X\x01\x00\x00\x00\xff.", "text that is none"),
        "a place in the memo of 32 bits": (b"\x80\x02}r\xff\xff\xff\x7f.", "has no v_template"),
        "lists in lists": (b"\x80\x02" + b"]" * 40_000 + b"a" * 39_999 + b".", "holds no names"),
        "work without end": (b"\x80\x02" + b"N0" * 60_000 + b"N.", "goes on for more than"),
        "a term that is its own term": (b"\x80\x02" + _model(own), "terms without end"),
        "a term with nothing in it": (b"\x80\x02" + _model(b"cchumpy.ch\nCh\n)\x81"), "without a content"),
        "a term whose content calls itself": (
            b"\x80\x02" + _model(b"cchumpy.ch\nCh\n)\x81}U\x0c__setstate__K\x01sb"),
            "something else in the place of numbers",
        ),
        "another term of chumpy": (b"\x80\x02cchumpy.ch\nMatVecMult\n.", "wants chumpy.ch.MatVecMult"),
        "an array of objects": (_array(b"O8", (1,), b"]"), "something else than numbers"),
        "an array of structures": (_array(b"V8", (1,), _b(bytes(8))), "something else than numbers"),
        "an array of a million millions": (_array(b"f8", (1 << 30, 1 << 10), _b(bytes(8))), "do not fill"),
        "nothing in a great shape": (_array(b"f8", (0, 1 << 30), _b(b"")), "its v_template is 0x"),
        "an array of a negative shape": (_array(b"f8", (-1, -8), _b(bytes(64))), "impossible shape"),
        "an array of five dimensions": (_array(b"f8", (1,) * 5, _b(bytes(8))), "without numbers"),
        "an array of no kind": (_array(b"../../x", (1,), _b(bytes(8))), "something else than numbers"),
        "an array without a state": (
            b"\x80\x02" + _model(b"cnumpy.core.multiarray\n_reconstruct\n)R"),
            "an array without numbers",
        ),
        "a sparse matrix that points outside": (_sparse((2, 2), [9], [0, 1, 1]), "do not fit"),
        "a sparse matrix that ends before it begins": (_sparse((2, 2), [0], [1, 0, 1]), "do not fit"),
        "a sparse matrix of gigabytes": (_sparse((1 << 20, 1 << 20), [0], [0, 1, 1]), "impossible shape"),
        "a choice of what is not there": (
            b"\x80\x02"
            + _model(
                b"cchumpy.reordering\nSelect\n)\x81}(U\x01a" + _x(b"f8", (1,), _b(bytes(8)))
                + b"U\x04idxs" + _x(b"i8", (1,), _b(struct.pack("<q", 5))) + b"ub"
            ),
            "not there",
        ),
        "another protocol": (b"\x80\x09N.", "its protocol is 9"),
        "nothing": (b"", "is empty"),
        "cut off": (b"\x80\x02}(U\x0av_templ", "cut off"),
        "no end": (b"\x80\x02}", "cut off"),
        "a web page": (b"<!DOCTYPE html><html>Please log in</html>", "is no pickle"),
        "compressed": (b"\x1f\x8b\x08\x00" + bytes(64), "is compressed"),
    }  # fmt: skip


def _s(text: str) -> bytes:
    return b"S" + repr(text).encode() + b"\n"


def _u(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _b(data: bytes) -> bytes:
    return b"T" + struct.pack("<i", len(data)) + data


def _model(value: bytes) -> bytes:
    """A file whose v_template is this."""
    return b"}U\x0av_template" + value + b"s."


def _x(dtype: bytes, shape: tuple[int, ...], data: bytes) -> bytes:
    lengths = b"(" + b"".join(b"I%d\n" % n for n in shape) + b"t"
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    kind = b"cnumpy\ndtype\n(U" + bytes([len(dtype)]) + dtype + b"I0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
    return made + b"(I1\n" + lengths + kind + b"I00\n" + data + b"tb"


def _array(dtype: bytes, shape: tuple[int, ...], data: bytes) -> bytes:
    return b"\x80\x02" + _model(_x(dtype, shape, data))


def _sparse(shape: tuple[int, int], indices: list[int], ends: list[int]) -> bytes:
    def whole(values: list[int]) -> bytes:
        return _x(b"i8", (len(values),), _b(struct.pack(f"<{len(values)}q", *values)))

    state = b"}(U\x06_shape(I%d\nI%d\ntU\x04data" % shape + _x(b"f8", (1,), _b(bytes(8)))
    state += b"U\x07indices" + whole(indices) + b"U\x06indptr" + whole(ends) + b"u"
    return b"\x80\x02" + _model(b"cscipy.sparse.csc\ncsc_matrix\n)\x81" + state + b"b")
