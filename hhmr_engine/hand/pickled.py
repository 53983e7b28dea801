"""Pickles read as data: nothing in them is looked up, called or run.

A pickle is a program for a stack machine, and Python's own reader runs whatever function it names. This one
has the stack alone. A name must be one of KINDS, and stays a word; calling it, or giving it a state, makes a
`Made` that remembers what was said. What arrays such things stand for is worked out by `pickled_arrays`.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 64 << 20
MAX_STEPS = 100_000  # MANO takes some hundreds
MAX_NUMBER = 32  # bytes of a whole number
MAX_PROTOCOL = 5

# What a name in a file of numpy, scipy and chumpy stands for, whatever their versions called its module.
_PLACES: dict[str, tuple[tuple[str, ...], str]] = {
    "array": (("numpy.core.multiarray", "numpy._core.multiarray"), "_reconstruct"),
    "scalar": (("numpy.core.multiarray", "numpy._core.multiarray"), "scalar"),
    "buffer": (("numpy.core.numeric", "numpy._core.numeric"), "_frombuffer"),
    "ndarray": (("numpy",), "ndarray"),
    "dtype": (("numpy",), "dtype"),
    "csc": (("scipy.sparse.csc", "scipy.sparse._csc"), "csc_matrix"),
    "csr": (("scipy.sparse.csr", "scipy.sparse._csr"), "csr_matrix"),
    "Ch": (("chumpy.ch", "chumpy"), "Ch"),
    "Select": (("chumpy.reordering",), "Select"),
    "Reshape": (("chumpy.reordering",), "Reshape"),
    "new": (("copy_reg", "copyreg"), "_reconstructor"),
    "object": (("__builtin__", "builtins"), "object"),
    "set": (("__builtin__", "builtins"), "set"),
    "bytes": (("__builtin__", "builtins"), "bytes"),
    "encode": (("_codecs",), "encode"),
}
KINDS = {(module, name): kind for kind, (modules, name) in _PLACES.items() for module in modules}


@dataclass(frozen=True)
class Name:
    """One of the values of KINDS, as a pickle names it."""

    kind: str


class Made:
    """What a pickle would have made by calling `kind` with `args`; `state` is what it then said about it."""

    def __init__(self, kind: str, args: tuple[Any, ...]) -> None:
        self.kind, self.args, self.state = kind, args, None


def read_pickle(raw: bytes) -> Any:
    """The object of a pickle of protocol 0 to 5: dicts, lists, tuples, str, bytes, numbers, Name and Made.

    Strings of Python 2 are read as Latin-1. Raises ValueError, one clause, for anything else.
    """
    if raw[:2] == b"\x1f\x8b":
        raise ValueError("it is compressed, and must be unpacked first")
    if len(raw) > MAX_BYTES:
        raise ValueError(f"it is larger than the {MAX_BYTES >> 20} MB that a hand may take")
    return _Machine(raw).run()


# Opcodes with a number of fixed size, and with a string behind its length (pickletools has their meanings).
_NUMBERS = {b"K": "<B", b"M": "<H", b"J": "<i", b"G": ">d"}
_STRINGS = {b"U": "<B", b"T": "<i"}  # of Python 2
_TEXTS = {b"\x8c": "<B", b"X": "<I", b"\x8d": "<Q"}
_BYTES = {b"C": "<B", b"B": "<I", b"\x8e": "<Q", b"\x96": "<Q"}
_LONGS = {b"\x8a": "<B", b"\x8b": "<i"}
_COUNTED = _STRINGS | _TEXTS | _BYTES | _LONGS
_LINES = (b"I", b"L", b"F", b"S", b"V")
_CONSTANTS: dict[bytes, Callable[[], Any]] = {
    b"N": lambda: None,
    b"\x88": lambda: True,
    b"\x89": lambda: False,
    b")": tuple,
    b"]": list,
    b"}": dict,
    b"\x8f": lambda: Made("set", ()),
}
_REFUSED = {
    **dict.fromkeys((b"i", b"o"), "it wants an old-style instance, which no hand model needs"),
    **dict.fromkeys((b"P", b"Q", b"\x97", b"\x98"), "it refers to objects outside the file"),
    **dict.fromkeys((b"\x82", b"\x83", b"\x84"), "it uses the registry of extensions"),
}


class _Machine:
    """The stack, the memo and the place in the file."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MAX_STEPS):
            code = self._take(1)
            if code == b".":
                return self._pop()
            self._step(code)
        raise ValueError(f"it goes on for more than {MAX_STEPS} steps")

    def _step(self, code: bytes) -> None:
        if code in _REFUSED:
            raise ValueError(_REFUSED[code])
        if code in _CONSTANTS:
            self.stack.append(_CONSTANTS[code]())
        elif code in _NUMBERS:
            self.stack.append(self._number(_NUMBERS[code]))
        elif code in _COUNTED:
            self.stack.append(_decode(code, self._take(self._number(_COUNTED[code]))))
        elif code in _LINES:
            self.stack.append(_of_line(code, self._line()))
        elif code in _ACTIONS:
            _ACTIONS[code](self)
        else:
            raise ValueError("it is no pickle")

    # ------------------------------------------------------------ the file

    def _take(self, count: int) -> bytes:
        if not 0 <= count <= len(self.raw) - self.at:
            raise ValueError("it is cut off" if self.at else "it is empty")
        self.at += count
        return self.raw[self.at - count : self.at]

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self) -> bytes:
        end = self.raw.find(b"\n", self.at)
        if end < 0:
            raise ValueError("it is cut off")
        line = self.raw[self.at : end]
        self.at = end + 1
        return line

    # ------------------------------------------------------------ the stack

    def _pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise ValueError("it takes what it has not given")
        return self.stack.pop()

    def _top(self, kind: type) -> Any:
        """What lies on top, which must be of this type."""
        if not self.stack or type(self.stack[-1]) is not kind:
            raise ValueError("it fills what cannot be filled")
        return self.stack[-1]

    def _marked(self) -> list[Any]:
        """All above the last mark."""
        if not self.marks:
            raise ValueError("it takes what it has not given")
        at = self.marks.pop()
        items = self.stack[at:]
        del self.stack[at:]
        return items

    # ------------------------------------------------------------ the actions

    def protocol(self) -> None:
        version = self._number("<B")
        if version > MAX_PROTOCOL:
            raise ValueError(f"its protocol is {version}, and the last one known here is {MAX_PROTOCOL}")

    def frame(self) -> None:
        self._number("<Q")

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def duplicate(self) -> None:
        self.stack += [top := self._pop(), top]

    def tuple(self, count: int | None) -> None:
        items = self._marked() if count is None else [self._pop() for _ in range(count)][::-1]
        self.stack.append(tuple(items))

    def append(self, items: list[Any]) -> None:
        self._top(list).extend(items)

    def fill(self, items: list[Any]) -> None:
        """Keys and values in turns into the dict on top."""
        if len(items) % 2:
            raise ValueError("it has a key without a value")
        mapping = self._top(dict)
        for key, value in zip(items[::2], items[1::2]):
            # The hash of nested tuples can take for ever.
            if type(key) not in (str, int):
                raise ValueError("it has keys that are no names")
            mapping[key] = value

    def dictionary(self) -> None:
        items = self._marked()
        self.stack.append({})
        self.fill(items)

    def one_item(self) -> None:
        value = self._pop()
        self.fill([self._pop(), value])

    def put(self, index: int) -> None:
        if not self.stack:
            raise ValueError("it takes what it has not given")
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise ValueError("it takes what it has not given")
        self.stack.append(self.memo[index])

    def name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise ValueError("it has a name that is none")
        if (module, name) not in KINDS:
            raise ValueError(f"it wants {_printable(module)}.{_printable(name)}, which no hand model needs")
        self.stack.append(Name(KINDS[module, name]))

    def name_of_stack(self) -> None:
        name = self._pop()
        self.name(self._pop(), name)

    def call(self) -> None:
        args, function = self._pop(), self._pop()
        if type(function) is not Name or type(args) is not tuple:
            raise ValueError("it calls what is no function")
        self.stack.append(Made(function.kind, args))

    def call_with_names(self) -> None:
        if self._pop() != {}:
            raise ValueError("it makes something in a way that no hand model needs")
        self.call()

    def build(self) -> None:
        state = self._pop()
        self._top(Made).state = state


def _decode(code: bytes, data: bytes) -> Any:
    """What the bytes behind a count are."""
    if code in _BYTES:
        return data
    if code in _LONGS:
        if len(data) > MAX_NUMBER:
            raise ValueError("it has a number that is too large")
        return int.from_bytes(data, "little", signed=True)
    try:
        return data.decode("latin-1" if code in _STRINGS else "utf-8")
    except UnicodeDecodeError:
        raise ValueError("it has text that is none") from None


def _of_line(code: bytes, line: bytes) -> Any:
    """A value of protocol 0, which is written as a line of text."""
    try:
        if code == b"S":
            if len(line) < 2 or line[:1] not in b"'\"" or line[-1:] != line[:1]:
                raise ValueError
            return codecs.escape_decode(line[1:-1])[0].decode("latin-1")  # type: ignore[attr-defined]
        if code == b"V":
            return line.decode("raw-unicode-escape")
        if code == b"F":
            return float(line)
        if code == b"I" and line in (b"00", b"01"):
            return line == b"01"
        if len(line) > 2 * MAX_NUMBER:
            raise ValueError
        return int(line.removesuffix(b"L"))
    except ValueError:
        raise ValueError("it has a line that is neither text nor number") from None


def _printable(text: str) -> str:
    """A name out of a file, fit for a sentence."""
    return "".join(c if c.isprintable() else "?" for c in text[:40])


def _index(line: bytes) -> int:
    index = _of_line(b"I", line)
    if index < 0:
        raise ValueError("it takes what it has not given")
    return index


def _text(line: bytes) -> str:
    return line.decode("latin-1")


_ACTIONS: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": _Machine.protocol,
    b"\x95": _Machine.frame,
    b"(": _Machine.mark,
    b"0": _Machine._pop,
    b"1": _Machine._marked,
    b"2": _Machine.duplicate,
    b"t": lambda m: m.tuple(None),
    b"\x85": lambda m: m.tuple(1),
    b"\x86": lambda m: m.tuple(2),
    b"\x87": lambda m: m.tuple(3),
    b"l": lambda m: m.stack.append(m._marked()),
    b"a": lambda m: m.append([m._pop()]),
    b"e": lambda m: m.append(m._marked()),
    b"d": _Machine.dictionary,
    b"s": _Machine.one_item,
    b"u": lambda m: m.fill(m._marked()),
    b"\x90": lambda m: (m._marked(), m._top(Made)),  # what a set holds is of no interest
    b"\x91": lambda m: m.stack.append(Made("set", (m._marked(),))),
    b"p": lambda m: m.put(_index(m._line())),
    b"q": lambda m: m.put(m._number("<B")),
    b"r": lambda m: m.put(m._number("<I")),
    b"\x94": lambda m: m.put(len(m.memo)),
    b"g": lambda m: m.get(_index(m._line())),
    b"h": lambda m: m.get(m._number("<B")),
    b"j": lambda m: m.get(m._number("<I")),
    b"c": lambda m: m.name(_text(m._line()), _text(m._line())),
    b"\x93": _Machine.name_of_stack,
    b"R": _Machine.call,
    b"\x81": _Machine.call,  # NEWOBJ: a class in place of a function
    b"\x92": _Machine.call_with_names,
    b"b": _Machine.build,
}
