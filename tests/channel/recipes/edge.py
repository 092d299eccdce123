"""`edge`, everything awkward a package may hold; `.conda` with pax, `.tar.bz2` with GNU tar."""

from __future__ import annotations

import importlib.util
import py_compile
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from ..conda_package import (
    PLACEHOLDER,
    CondaPackage,
    Directory,
    Entry,
    File,
    HardLink,
    Link,
    text_file,
)

MODULE = "ANSWER = 42\n"
LONG_NAME = "long-" + "n" * 130 + ".txt"
LONG_PATH = "/".join(f"folder-{depth}-" + "d" * 40 for depth in range(6)) + "/leaf.txt"


def packages() -> list[CondaPackage]:
    noarch = CondaPackage(
        "edge",
        "1.0",
        [*_awkward("share/edge"), *_module_with_pyc()],
        build="py_0",
        subdir="noarch",
        noarch="python",
        depends=["python"],
        tar_format=tarfile.PAX_FORMAT,
        summary="Awkward names, kinds and contents",
    )
    older = CondaPackage(
        "edge-bz2",
        "1.0",
        [*_awkward("share/edge-bz2"), Directory("share/edge-bz2/empty-directory")],
        extension=".tar.bz2",
        summary="The same in the older format",
    )
    return [noarch, older]


def _awkward(root: str) -> list[Entry]:
    original = text_file(f"{root}/hard/original.txt", "one inode, three names\n")
    relocated = text_file(f"{root}/hard/relocated.txt", f"home={PLACEHOLDER}\n")
    nul_less = f"no NUL after this: {PLACEHOLDER}/end".encode()
    twice = b"\0\1" + PLACEHOLDER.encode() + b"/bin\0\2" + PLACEHOLDER.encode() + b"\0\3tail\0"
    return [
        text_file(f"{root}/a name with spaces/and more spaces.txt", "spaces\n"),
        text_file(f"{root}/ünïcödé/naïve-Ω-文件-🙂.txt", "unicode\n"),
        text_file(f'{root}/quotes/it\'s "quoted" $HOME `x` \\ back.txt', "quotes\n"),
        text_file(f"{root}/-leading-dash", "dash\n"),
        text_file(f"{root}/.hidden/.file", "hidden\n"),
        text_file(f"{root}/Case.txt", "upper case\n"),
        text_file(f"{root}/case.txt", "lower case\n"),
        text_file(f"{root}/{LONG_NAME}", "more than 100 characters\n"),
        text_file(f"{root}/{LONG_PATH}", "more than 255 characters\n"),
        Link(f"{root}/long-link", LONG_PATH),
        text_file(f"{root}/empty.txt", ""),
        text_file(f"{root}/empty-program", "", mode=0o755),
        text_file(f"{root}/read-only.txt", "nobody may write\n", mode=0o444),
        text_file(f"{root}/crlf.ini", f"[paths]\r\nhome={PLACEHOLDER}\r\nend=1\r\n"),
        text_file(f"{root}/twice.txt", f"{PLACEHOLDER}:{PLACEHOLDER}/lib\n"),
        File(f"{root}/latin-1.txt", b"caf\xe9 " + PLACEHOLDER.encode() + b"\n", 0o644, "text"),
        File(f"{root}/no-nul.bin", nul_less, 0o644, "binary"),
        File(f"{root}/two-strings.bin", twice, 0o755, "binary"),
        original,
        HardLink(f"{root}/hard/second.txt", original),
        HardLink(f"{root}/hard/third.txt", original),
        relocated,
        HardLink(f"{root}/hard/relocated-again.txt", relocated),
        Link(f"{root}/dangling", "no/such/file"),
        Link(f"{root}/absolute", "/etc/hostname"),
        Link(f"{root}/absolute-placeholder", f"{PLACEHOLDER}/{root}/empty.txt"),
        Link(f"{root}/to-directory", "hard"),
        Link(f"{root}/upward", "../../share"),
        Link(f"{root}/itself", "itself"),
    ]


def _module_with_pyc() -> list[Entry]:
    """A module that ships its own byte code, for the series of the interpreter at hand."""
    with TemporaryDirectory() as scratch:
        source, compiled = Path(scratch) / "edge_module.py", Path(scratch) / "edge_module.pyc"
        source.write_text(MODULE)
        py_compile.compile(
            str(source),
            str(compiled),
            dfile="edge_module.py",
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        code = compiled.read_bytes()
    cached = Path(importlib.util.cache_from_source("edge_module.py")).name
    return [
        text_file("site-packages/edge_module.py", MODULE),
        File(f"site-packages/__pycache__/{cached}", code),
        text_file("site-packages/edge_package/__init__.py", ""),
        text_file("site-packages/edge_package/broken_syntax.py", "def nobody_compiles_this(:\n"),
        text_file("site-packages/edge_package/ünïcode.py", f'WHO = "{sys.implementation.name}"\n'),
    ]
