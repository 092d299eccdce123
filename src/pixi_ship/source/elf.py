"""What a compiled file needs of the system it runs on: read from its dynamic section.

    ELF64 header: e_ident[16] (class 2, data 1), e_machine at 18, e_phoff at 32,
                  e_phentsize at 54, e_phnum at 56
    program header (56): p_type, p_flags, p_offset, p_vaddr, p_paddr, p_filesz, …
    dynamic entry (16):  d_tag, d_val
    Verneed (16): vn_version, vn_cnt, vn_file, vn_aux, vn_next; Vernaux (16): vna_hash,
                  vna_flags, vna_other, vna_name, vna_next

Source: System V ABI, "Object Files"; LSB Core 10.7 "Symbol Versioning". Little-endian, 64 bits:
what all platforms that images are made for have.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"\x7fELF"
_MACHINES = {62: "x86_64", 183: "aarch64", 21: "ppc64le", 243: "riscv64"}
_LOAD, _DYNAMIC = 1, 2
_NEEDED, _STRTAB, _VERNEED, _VERNEEDNUM = 1, 5, 0x6FFFFFFE, 0x6FFFFFFF
# An entry has 16 bytes, so a file holds no more of them than these, unless they overlap: who
# follows links within such a file goes round in it.
_ENTRY = 16  # bytes
_MIN_ENTRIES = 64
_MIN_TEXT = 4 << 10  # bytes of all names, beside the file's own size
_GLIBC = re.compile(rb"GLIBC_(\d+)\.(\d+)")
_RELATIVE = b"GLIBC_ABI_DT_RELR"  # says, since glibc 2.36, that the loader must know RELR


@dataclass(frozen=True, slots=True)
class Needs:
    """machine: as ``uname -m`` says it. glibc: the newest version of its symbols."""

    machine: str
    glibc: tuple[int, int] | None
    libraries: frozenset[str]


def read_needs(data: bytes) -> Needs:
    """Read the needs of a whole file; raises ValueError for one that is damaged or of 32 bits."""
    if data[:4] != MAGIC or data[4:6] != b"\2\1":
        raise ValueError("it is no ELF file of 64 bits, little-endian")
    try:
        return _Reader(data).needs()
    except (struct.error, IndexError, OverflowError) as error:
        raise ValueError(f"its ELF headers are damaged ({error})") from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._steps = _MIN_ENTRIES + len(data) // _ENTRY
        self._text_left = _MIN_TEXT + len(data)
        self._machine: int = struct.unpack_from("<H", data, 18)[0]
        start: int = struct.unpack_from("<Q", data, 32)[0]
        size, count = struct.unpack_from("<HH", data, 54)
        headers = [struct.unpack_from("<IIQQQQ", data, start + size * n) for n in range(count)]
        self._loads: list[tuple[int, int, int]] = [
            (each[3], each[2], each[5]) for each in headers if each[0] == _LOAD
        ]
        self._dynamic = next((each[2] for each in headers if each[0] == _DYNAMIC), None)

    def needs(self) -> Needs:
        machine = _MACHINES.get(self._machine, f"machine {self._machine}")
        values: dict[int, int] = {}
        names = []
        for tag, value in self._entries():
            if tag == _NEEDED:
                names.append(value)
            else:
                values[tag] = value
        if _STRTAB not in values:
            return Needs(machine, None, frozenset())
        strings = self._at(values[_STRTAB])
        found = [
            (int(match[1]), int(match[2])) if match else (2, 36)
            for name in map(self._text, (strings + name for name in self._versions(values)))
            if (match := _GLIBC.match(name)) or name == _RELATIVE
        ]
        libraries = {self._text(strings + name).decode("ascii", "replace") for name in names}
        return Needs(machine, max(found, default=None), frozenset(libraries))

    def _entries(self) -> Iterator[tuple[int, int]]:
        if self._dynamic is None:
            return
        at = self._dynamic
        while True:
            self._step()
            tag, value = struct.unpack_from("<QQ", self._data, at)
            if tag == 0:
                return
            yield tag, value
            at += _ENTRY

    def _versions(self, values: dict[int, int]) -> Iterator[int]:
        if _VERNEED not in values:
            return
        at = self._at(values[_VERNEED])
        for _ in range(values.get(_VERNEEDNUM, 0)):
            self._step()
            _, count, _, aux, following = struct.unpack_from("<HHIII", self._data, at)
            version = at + aux
            for _ in range(count):
                self._step()
                _, _, _, name, step = struct.unpack_from("<IHHII", self._data, version)
                yield name
                version += step
            if not following:
                return
            at += following

    def _step(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise IndexError("more entries than the file has room for")

    def _at(self, address: int) -> int:
        for start, offset, size in self._loads:
            if start <= address < start + size:
                return address - start + offset
        raise IndexError(f"no segment holds {address:#x}")

    def _text(self, at: int) -> bytes:
        end = self._data.index(b"\0", at, at + 4096)
        self._text_left -= end - at
        if self._text_left < 0:
            raise IndexError("more names than the file has room for")
        return self._data[at:end]
