"""`python`, repacked from the interpreter at hand so that it runs from wherever it is put.

Python finds its prefix from where its executable and `lib/python3.X/os.py` are, so only the
libraries that are not glibc have to come along and be found (`$ORIGIN`).
"""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from ..conda_package import PLACEHOLDER, CondaPackage, Entry, File, Link
from ..tools import compiler_library, shared_libraries, with_run_path

SERIES = f"{sys.version_info.major}.{sys.version_info.minor}"
VERSION = ".".join(str(part) for part in sys.version_info[:3])
SITE_PACKAGES = f"lib/python{SERIES}/site-packages"

PREFIX = Path(sys.base_prefix)
STDLIB = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))

GLIBC = re.compile(r"^(ld-linux.*|lib(c|m|dl|rt|util|pthread|resolv|nsl|anl|mvec)\.so\..*)$")
FOR_WHEELS = ("libgcc_s.so.1", "libstdc++.so.6")  # manylinux wheels take these for granted
LEFT_OUT = re.compile(
    r"(^|/)(__pycache__|site-packages|dist-packages|tests?|idlelib|idle_test|tkinter|turtledemo)(/|$)"
    r"|\.a$|\.pyc$|(^|/)(turtle\.py|EXTERNALLY-MANAGED|sitecustomize\.py)$"
    r"|lib-dynload/(_tkinter|_test|_ctypes_test|_xxtest|xxlimited|nis|ossaudiodev)[^/]*$"
)


def packages() -> list[CondaPackage]:
    with TemporaryDirectory() as scratch:
        entries = sorted(_entries(Path(scratch)), key=lambda entry: entry.path)
    return [
        CondaPackage(
            "python",
            VERSION,
            entries,
            build="h0000000_0_cpython",
            depends=["__glibc >=2.17,<3.0.a0"],
            index_extra={"python_site_packages_path": SITE_PACKAGES},
            summary="The interpreter that built the test channel, made relocatable",
        )
    ]


def _entries(scratch: Path) -> Iterator[Entry]:
    program = PREFIX / "bin" / f"python{SERIES}"
    extensions = [p for p in sorted(STDLIB.glob("lib-dynload/*.so")) if not _left_out(p, STDLIB)]
    yield File(f"bin/python{SERIES}", with_run_path(program, "$ORIGIN/../lib", scratch), 0o755)
    yield Link("bin/python3", f"python{SERIES}")
    yield Link("bin/python", f"python{SERIES}")
    for name in (f"python{SERIES}-config", f"pydoc{SERIES}", f"2to3-{SERIES}"):
        if (PREFIX / "bin" / name).is_file():
            yield _copy(PREFIX / "bin" / name, f"bin/{name}", executable=True)
    for extension in extensions:
        patched = with_run_path(extension, "$ORIGIN/../..", scratch)
        yield File(f"lib/python{SERIES}/lib-dynload/{extension.name}", patched, 0o755)
    yield from _libraries([program, *extensions], scratch)
    yield from _tree(STDLIB, f"lib/python{SERIES}", skip="lib-dynload/")
    yield from _tree(Path(sysconfig.get_path("include")), f"include/python{SERIES}")
    yield from _tree(PREFIX / "lib" / "pkgconfig", "lib/pkgconfig", only="python")
    yield File(f"{SITE_PACKAGES}/README.txt", b"Packages of the environment go here.\n")
    if "dist-packages" in (STDLIB / "site.py").read_text():  # Debian's site.py looks there only
        yield Link(f"lib/python{SERIES}/dist-packages", "site-packages")


def _libraries(binaries: list[Path], scratch: Path) -> Iterator[Entry]:
    found = {soname: compiler_library(soname) for soname in FOR_WHEELS}
    for binary in binaries:
        found |= shared_libraries(binary)
    for soname, library in sorted(found.items()):
        if not GLIBC.match(soname):
            yield File(f"lib/{soname}", with_run_path(library, "$ORIGIN", scratch), 0o755)
            if soname.startswith("libpython"):
                yield Link(f"lib/libpython{SERIES}.so", soname)


def _tree(source: Path, target: str, skip: str = "\0", only: str = "") -> Iterator[Entry]:
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source).as_posix()
        if relative.startswith(skip) or not relative.startswith(only) or _left_out(path, source):
            continue
        if path.is_file():  # links are followed: some lead out of the tree
            executable = bool(path.stat().st_mode & 0o100)
            yield _copy(path, f"{target}/{relative}", executable)


def _left_out(path: Path, source: Path) -> bool:
    return bool(LEFT_OUT.search(path.relative_to(source).as_posix()))


def _copy(source: Path, path: str, executable: bool) -> File:
    """A file as it is, or with the prefix it was built for turned into the placeholder."""
    content, mode = source.read_bytes(), 0o755 if executable else 0o644
    if b"\0" in content or len(PREFIX.parts) < 3:  # "/usr" is too common a word to replace
        return File(path, content, mode)
    built_for = re.compile(re.escape(str(PREFIX).encode()) + rb"(?![\w.-])")
    replaced, count = built_for.subn(PLACEHOLDER.encode(), content)
    return File(path, replaced, mode, "text" if count else None)
