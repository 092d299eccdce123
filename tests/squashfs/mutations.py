"""Read many damaged forms of a file in a process of its own, which may use only so much.

``python -m tests.squashfs.mutations READER FILE SEED TRIALS START:END…`` prints as JSON how many
of the trials were read and how many refused; anything else that a trial ends in ends the
process, which says the trial's number and prints the traceback.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from pixi_ship.errors import PixiShipError
from pixi_ship.sif.file import SifFile, read_sif
from pixi_ship.squashfs.read import SquashfsReader

REPOSITORY = Path(__file__).parents[2]
MEMORY = 512 << 20  # bytes of address space beyond what the process has when it begins
SECONDS = 600  # of processor time for all trials of a process
UNPACKED = 16 << 20  # bytes that a trial may unpack to
ENTRIES = 2000
WORDS = (0, 1, 2, 3, 7, 8, 9, 15, 0x7F, 0x80, 0xFF, 0x100, 0x1FFF, 0x2000, 0x7FFF, 0x8000, 0xFFFF)
WIDE = (1 << 16, 1 << 17, 1 << 24, 1 << 25, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
WIDER = (1 << 32, 1 << 40, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)

Region = tuple[int, int]


def mutated(data: bytes, regions: Sequence[Region], chance: random.Random) -> bytes:
    """One to three changes, each within one of the regions."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        start, end = chance.choice(regions)
        at, other = chance.randrange(start, end), chance.randrange(start, end)
        size = chance.choice((1, 2, 4, 8))
        match chance.randrange(6):
            case 0:
                found[at] ^= 1 << chance.randrange(8)
            case 1:
                found[at : at + size] = chance.randbytes(size)
            case 2 | 3:
                value = chance.choice(WORDS + WIDE * (size >= 4) + WIDER * (size == 8))
                found[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
            case 4:
                size = chance.choice((2, 4, 8, 16, 32, 56))
                found[at : at + size] = found[other : other + size]
            case _:
                value = int.from_bytes(found[at : at + 4], "little")
                value = (value + chance.choice((-8, -1, 1, 8, 4096))) % (1 << 32)
                found[at : at + 4] = value.to_bytes(4, "little")
    end = chance.randrange(len(data)) if chance.random() < 0.02 else len(data)
    return bytes(found[:end])


def read_squashfs(path: Path, offset: int = 0, size: int | None = None) -> None:
    """All that there is to read."""
    size = path.stat().st_size if size is None else size
    with SquashfsReader(path, offset, size, max_entries=ENTRIES, max_unpacked=UNPACKED) as reader:
        assert reader.root.kind == "directory"
        for entry in reader.entries():
            got = 0
            for chunk in entry.chunks():
                got += len(chunk)
            assert got == entry.size
            assert not {"", ".", ".."} & set(entry.path.split("/"))
            assert "\0" not in entry.path + entry.link


def read_all_of_sif(path: Path) -> None:
    """All that there is to read, the squashfs in it too."""
    found = read_sif(path)
    assert found.architecture in ("", "386", "amd64", "arm", "arm64", "ppc64le", "s390x", "riscv64")
    for each in found.objects:
        assert len(found.read(each)) == each.size
        found.named(each.name)
    root = _root(found)
    read_squashfs(path, root[0], root[1])


def _root(found: SifFile) -> tuple[int, int]:
    return found.root.offset, found.root.size


READERS: dict[str, Callable[[Path], None]] = {"squashfs": read_squashfs, "sif": read_all_of_sif}


def survive(
    reader: str, path: Path, seed: int, trials: int, regions: Sequence[Region]
) -> tuple[int, int]:
    """Run the trials in a process; returns how many were read, and how many refused."""
    words = [f"{start}:{end}" for start, end in regions]
    done = subprocess.run(
        [sys.executable, "-m", __name__, reader, path, str(seed), str(trials), *words],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    read, refused = json.loads(done.stdout)
    return int(read), int(refused)


def _limit() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


def _main(reader: str, path: str, seed: str, trials: str, *words: str) -> None:
    data = Path(path).read_bytes()
    regions = [(int(start), int(end)) for start, _, end in (each.partition(":") for each in words)]
    _limit()
    refused = 0
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
        damaged = Path(folder) / "damaged"
        for trial in range(int(trials)):
            chance = random.Random(int(seed) * 1_000_003 + trial)
            damaged.write_bytes(mutated(data, regions, chance))
            try:
                READERS[reader](damaged)
            except PixiShipError as error:
                if not str(error).strip():
                    raise AssertionError(f"trial {trial}: an error without words") from error
                refused += 1
            except BaseException:
                sys.stderr.write(f"trial {trial}\n")
                raise
    sys.stdout.write(json.dumps([int(trials) - refused, refused]))


if __name__ == "__main__":
    _main(*sys.argv[1:])
