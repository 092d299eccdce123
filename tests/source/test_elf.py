"""What compiled files need: as binutils says it, and damaged ones are refused."""

from __future__ import annotations

import random
import re
import shutil
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
