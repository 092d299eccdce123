"""What compiled files need: as binutils says it, and damaged ones are refused."""

from __future__ import annotations

import random
import re
import shutil
import struct
import sys
from pathlib import Path

import pytest

from pixi_ship.source.elf import read_needs

from ..channel.tools import run


@pytest.mark.parametrize("path", ["/bin/ls", "/bin/bash", sys.executable])
def test_it_is_what_objdump_says(path: str) -> None:
    if shutil.which("objdump") is None:
        pytest.skip("binutils are not here")
    said = run("objdump", "-p", Path(path).resolve())
    versions = [(int(a), int(b)) for a, b in re.findall(r"GLIBC_(\d+)\.(\d+)", said)]
    needs = read_needs(Path(path).read_bytes())
    assert needs.glibc == max(versions)
    assert needs.libraries == set(re.findall(r"NEEDED +(\S+)", said))


@pytest.mark.hostile
def test_damage_is_a_value_error_or_harmless() -> None:
    whole = bytearray(Path("/bin/ls").read_bytes())
    chance = random.Random(1)
    for _ in range(300):
        data = whole[: chance.randrange(1, len(whole))] if chance.random() < 0.5 else whole[:]
        for _ in range(30):
            data[chance.randrange(min(len(data), 4096))] = chance.randrange(256)
        try:
            read_needs(bytes(data))
        except ValueError:
            continue


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF\1\1" + bytes(100), b"MZ" + bytes(90)])
def test_what_is_no_such_file(data: bytes) -> None:
    with pytest.raises(ValueError, match="ELF"):
        read_needs(data)


def elf_file(dynamic: list[tuple[int, int]], rest: bytes) -> bytes:
    """One segment that is the whole file, its dynamic section at 176; ``rest`` follows that."""
    section = b"".join(struct.pack("<QQ", *each) for each in [*dynamic, (0, 0)])
    size = 176 + len(section) + len(rest)
    head = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0,
                                                      64, 56, 2, 0, 0, 0)  # fmt: skip
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, size, size, 4096)
    of_dynamic = struct.pack("<IIQQQQQQ", 2, 4, 176, 176, 176, len(section), len(section), 8)
    return head + load + of_dynamic + section + rest


STRTAB, VERNEED, VERNEEDNUM, NEEDED = 5, 0x6FFFFFFE, 0x6FFFFFFF, 1


def test_a_made_up_file_is_read() -> None:
    at = 176 + 5 * 16
    rest = struct.pack("<HHIII", 1, 1, 0, 16, 0) + struct.pack("<IHHII", 0, 0, 0, 1, 0)
    rest += b"\0GLIBC_2.30\0libc.so.6\0"
    data = elf_file([(STRTAB, at + 32), (VERNEED, at), (VERNEEDNUM, 1), (NEEDED, 12)], rest)
    needs = read_needs(data)
    assert (needs.machine, needs.glibc) == ("x86_64", (2, 30))
    assert needs.libraries == {"libc.so.6"}


@pytest.mark.hostile
def test_versions_that_go_round_in_a_file_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of 50 lists of versions says it has 65,535, and leads to one that follows itself."""
    at, number = 176 + 4 * 16, 50
    rest = b"".join(
        struct.pack("<HHIII", 1, 65535, 0, 16 * (number - each), 16) for each in range(number)
    )
    rest += struct.pack("<IHHII", 0, 0, 0, 0, 0) + b"\0"
    data = elf_file([(STRTAB, at + len(rest) - 1), (VERNEED, at), (VERNEEDNUM, number)], rest)
    taken, unpack = 0, struct.unpack_from

    def counting(pattern: str, buffer: bytes, offset: int = 0) -> tuple[int, ...]:
        nonlocal taken
        taken += 1
        assert taken < len(data), "more steps than the file has bytes"
        return unpack(pattern, buffer, offset)

    monkeypatch.setattr(struct, "unpack_from", counting)
    with pytest.raises(ValueError, match="more entries than the file has room for"):
        read_needs(data)


@pytest.mark.hostile
def test_names_that_share_their_bytes_end() -> None:
    rest = b"a" * 4000 + b"\0"
    dynamic = [(STRTAB, 176 + 16 * 302), *((NEEDED, number) for number in range(300))]
    with pytest.raises(ValueError, match="more names than the file has room for"):
        read_needs(elf_file(dynamic, rest))
