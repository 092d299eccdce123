"""Bytecode that stays valid in an image: unchecked-hash ``.pyc`` files (PEP 552).

Roots are read-only on nodes, so what is not compiled at build is compiled by every job
again. Bytecode that carries its source's time would not survive either, since every file
of an image has the same time: shipped ``.pyc`` get their header rewritten, missing ones
are compiled by an interpreter of the same minor version.
"""

from __future__ import annotations

import fcntl
import mmap
import struct
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from types import TracebackType

from pixi_ship.errors import PixiShipError

_HEADER = 16  # magic, flags, then time and size of the source, or its hash
_UNCHECKED_HASH = struct.pack("<I", 0b01)
MAX_SOURCE = 32 << 20  # bytes; longer sources are left to the interpreter in the image
_PAGE = mmap.PAGESIZE
_PIPE = 1 << 20  # bytes, which Linux gives to everybody
_LEAST_PIPE = 16 << 10  # bytes, which every system gives
_PROBE = (
    "import sys,importlib.util as u;"
    "print(sys.version_info[0],sys.version_info[1],sys.version_info[2],"
    "sys.implementation.cache_tag,u.MAGIC_NUMBER.hex())"
)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python at hand on the building machine; ``version`` is ``3.12.4``."""

    executable: str
    version: str
    cache_tag: str
    magic: str

    @property
    def short_version(self) -> str:
        """``3.12``."""
        return self.version.rpartition(".")[0]

    @property
    def key(self) -> str:
        """What the bytes of its bytecode depend on."""
        return f"{self.cache_tag} {self.version} {self.magic}"


def probe_interpreter(executable: str) -> Interpreter | None:
    """Ask a Python what it is; None if it is none."""
    try:
        answer = subprocess.run(
            [executable, "-I", "-S", "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    if len(answer) != 5:
        return None
    return Interpreter(executable, ".".join(answer[:3]), answer[3], answer[4])


class Compiler:
    """A running interpreter that compiles sources in the order in which they come; one per thread.

    Further sources can be on their way while it compiles one: neither waits for the other.
    """

    def __init__(self, interpreter: Interpreter) -> None:
        self.interpreter = interpreter
        source = resources.files("pixi_ship.prefix").joinpath("compile_worker.py").read_text()
        # PYTHONHASHSEED orders the constants of "x in {…}", which are frozen sets. -I would
        # ignore it, so isolation is spelled out: no site, no user site, nothing from outside.
        self._process = subprocess.Popen(
            [interpreter.executable, "-S", "-s", "-B", "-X", "utf8", "-c", source],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1", "LC_ALL": "C"},
            cwd="/",
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("the worker was started with pipes")
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._room = _room(self._requests.fileno())
        self._asked: deque[Bytecode] = deque()
        self._unread = 0  # pages of requests that may still lie in the pipe

    def begin(self, source: bytes, path: str) -> Bytecode:
        """Have ``source`` compiled, which will lie at ``path``; :meth:`Bytecode.get` waits."""
        name = path.encode()
        request = b"".join(
            (len(name).to_bytes(4, "big"), name, len(source).to_bytes(4, "big"), source)
        )
        # With what it has not read in the pipe's room, writing never waits for an interpreter that
        # itself waits for its answer to be read. Alone, a request of any size is read at once.
        pages = len(request) // _PAGE + 2
        while self._asked and self._unread + pages > self._room:
            self.take()
        try:
            self._requests.write(request)
            self._requests.flush()
        except OSError:
            raise self._ended(path) from None
        self._asked.append(Bytecode(self, path, pages))
        self._unread += pages
        return self._asked[-1]

    def compile(self, source: bytes, path: str) -> bytes | None:
        """The ``.pyc`` of ``source``, which will lie at ``path``; None if it does not compile."""
        return self.begin(source, path).get()

    def take(self) -> None:
        """Read the answer to the oldest request."""
        asked = self._asked.popleft()
        self._unread -= asked.pages
        try:
            length = self._answers.read(4)
            pyc = self._answers.read(int.from_bytes(length, "big"))
        except OSError:
            length, pyc = b"", b""
        if len(length) < 4 or len(pyc) < int.from_bytes(length, "big"):
            raise self._ended(asked.path)
        asked.answer = pyc

    def _ended(self, path: str) -> PixiShipError:
        return PixiShipError(
            f"compiling {path}: {self.interpreter.executable} ended unexpectedly",
            hint="leave bytecode out with --no-compile",
        )

    def close(self) -> None:
        """End the interpreter."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._answers):
            with suppress(OSError):  # the rest of a request that nobody read
                pipe.close()

    def __enter__(self) -> Compiler:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(slots=True)
class Bytecode:
    """What an interpreter was asked for. pages: those of a pipe that the request may take."""

    compiler: Compiler
    path: str
    pages: int
    answer: bytes | None = None

    def get(self) -> bytes | None:
        """The ``.pyc``; None if the source does not compile. Raises PixiShipError."""
        while self.answer is None:
            self.compiler.take()
        return self.answer or None


def _room(pipe: int) -> int:
    """Pages that a pipe takes while nobody reads from it; made larger where that can be had.

    Linux counts pages and not bytes: what is written begins a page unless it fits into the last.
    """
    try:
        return fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE) // _PAGE
    except (AttributeError, OSError):  # not Linux, or the user has too many large ones
        return _LEAST_PIPE // _PAGE


def without_time(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Turn a ``.pyc`` checked by time into one that is not checked; others pass unchanged.

    The eight bytes for the hash of the source become zero: an unchecked ``.pyc`` is loaded
    without looking at them (PEP 552).
    """
    head = b""
    rest = iter(chunks)
    for chunk in rest:
        head += chunk
        if len(head) >= _HEADER:
            break
    is_timed = len(head) >= _HEADER and head[2:4] == b"\r\n" and head[4:8] == bytes(4)
    yield head[:4] + _UNCHECKED_HASH + bytes(8) + head[_HEADER:] if is_timed else head
    yield from rest


def cache_path(source: str, cache_tag: str) -> str:
    """Where the bytecode of ``source`` lies (PEP 3147)."""
    directory, _, name = source.rpartition("/")
    stem = name.removesuffix(".py")
    return f"{directory}/__pycache__/{stem}.{cache_tag}.pyc".removeprefix("/")


def source_path(pyc: str) -> str | None:
    """The source of a ``.pyc`` in ``__pycache__``; None for other paths."""
    directory, _, name = pyc.rpartition("/")
    parent, _, last = directory.rpartition("/")
    if last != "__pycache__" or not name.endswith(".pyc"):
        return None
    stem = name.split(".")[0]
    return f"{parent}/{stem}.py" if parent else f"{stem}.py"
