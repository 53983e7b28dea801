"""Pipes to a subprocess whose parent's end never blocks: the same three functions on POSIX and on Windows.

Blender must not wait and may not run threads, so both directions are looked at once per poll. Windows has no
non-blocking read of a pipe; PeekNamedPipe tells how much is there (by `_winapi`, as multiprocessing does).
"""

from __future__ import annotations

import os
import sys

# Room for a whole result of eight hands, so that it needs one poll and not one for every 64 KiB.
PIPE_SIZE = 1 << 20

if sys.platform == "win32":
    import _winapi
    import msvcrt

    PIPE_NOWAIT = 1
    ERROR_BROKEN_PIPE = 109

    def open_pipe(we_write: bool) -> tuple[int, int]:
        """(our end, the subprocess's end) as file descriptors that are not inherited by themselves."""
        reading, writing = _winapi.CreatePipe(None, PIPE_SIZE)
        if we_write:
            _winapi.SetNamedPipeHandleState(writing, PIPE_NOWAIT, None, None)
        read_fd = msvcrt.open_osfhandle(reading, os.O_RDONLY | os.O_BINARY)
        write_fd = msvcrt.open_osfhandle(writing, os.O_BINARY)
        return (write_fd, read_fd) if we_write else (read_fd, write_fd)

    def read_some(fd: int, limit: int) -> bytes | None:
        """Up to `limit` bytes; None when there are none now, b"" when there will be no more."""
        handle = msvcrt.get_osfhandle(fd)
        try:
            waiting = int(_winapi.PeekNamedPipe(handle, 0)[0])
            return _winapi.ReadFile(handle, min(waiting, limit))[0] if waiting else None
        except OSError as fault:
            if fault.winerror == ERROR_BROKEN_PIPE:
                return b""
            raise

    def write_some(fd: int, data: memoryview) -> int:
        """Write what fits now, possibly nothing; OSError when nobody reads any more."""
        handle = msvcrt.get_osfhandle(fd)
        # A pipe that lacks room for all of it may take nothing of it.
        for size in (PIPE_SIZE // 2, 4096):
            written, _ = _winapi.WriteFile(handle, bytes(data[:size]))
            if written:
                return written
        return 0

else:
    import fcntl

    def open_pipe(we_write: bool) -> tuple[int, int]:
        """(our end, the subprocess's end) as file descriptors that are not inherited by themselves."""
        reading, writing = os.pipe()
        ours, theirs = (writing, reading) if we_write else (reading, writing)
        os.set_blocking(ours, False)
        if sys.platform == "linux":
            try:
                fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
            except OSError:
                pass  # over the user's quota: the default size is slower, not wrong
        return ours, theirs

    def read_some(fd: int, limit: int) -> bytes | None:
        """Up to `limit` bytes; None when there are none now, b"" when there will be no more."""
        try:
            return os.read(fd, limit)
        except BlockingIOError:
            return None

    def write_some(fd: int, data: memoryview) -> int:
        """Write what fits now, possibly nothing; OSError when nobody reads any more."""
        try:
            return os.write(fd, data[:PIPE_SIZE])
        except BlockingIOError:
            return 0
