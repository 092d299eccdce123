"""Programs of the machine that recipes lean on: a C compiler, ldd, patchelf, pip."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path
from tempfile import mkdtemp


def run(*words: str | Path) -> str:
    """Run a program and return what it printed; what it complained about goes into the error."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode:
        line = " ".join(str(word) for word in words)
        raise RuntimeError(f"{line}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def pip_download(target: Path, *requirements: str) -> list[Path]:
    """Wheels from the index that pip is configured for, without their dependencies."""
    target.mkdir(parents=True, exist_ok=True)
    wanted = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "-q"]
    run(sys.executable, "-m", "pip", "download", *wanted, "-d", target, *requirements)
    return sorted(target.glob("*.whl"))


def compiler() -> str:
    found = shutil.which("gcc") or shutil.which("cc")
    if not found:
        raise RuntimeError("no C compiler: the test channel builds one small C package (gcc, cc)")
    return found


@cache
def patchelf() -> Path:
    """The machine's patchelf, else the one in PyPI's wheel of that name."""
    if found := shutil.which("patchelf"):
        return Path(found)
    folder = Path(mkdtemp(prefix="patchelf-"))
    (wheel,) = pip_download(folder, "patchelf")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (
            name
            for name in archive.namelist()
            if name.endswith(("/bin/patchelf", "/scripts/patchelf"))
        )
        program = Path(archive.extract(member, folder))
    program.chmod(0o755)
    return program


def with_run_path(binary: Path, run_path: str, scratch: Path) -> bytes:
    """The binary's bytes with its RPATH set; wheels profit too, as RUNPATH would not let them."""
    copy = scratch / "patched"
    shutil.copyfile(binary, copy)
    run(patchelf(), "--force-rpath", "--set-rpath", run_path, copy)
    return copy.read_bytes()


def compiler_library(soname: str) -> Path:
    """A library of the compiler's own run time, such as libstdc++."""
    return Path(run(compiler(), f"-print-file-name={soname}").strip()).resolve()


def shared_libraries(binary: Path) -> dict[str, Path]:
    """Every library the loader would bring in for a binary: soname to file."""
    found = {}
    for line in run("ldd", binary).splitlines():
        soname, arrow, place = line.strip().partition(" => ")
        if arrow and place.startswith("/"):
            found[soname] = Path(place.split(" (")[0]).resolve()
    return found
