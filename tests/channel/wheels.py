"""Wheels: real ones from the index, and `trinket`, which has one of everything a wheel may hold."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from .conda_package import ZIP_DATE
from .tools import pip_download

FROM_THE_INDEX = ("numpy", "click", "idna", "markupsafe")


@dataclass(frozen=True)
class Wheel:
    """A wheel file and what a lock says about it."""

    path: Path
    name: str
    version: str
    requires_python: str | None
    requires_dist: tuple[str, ...]
    sha256: str

    @classmethod
    def read(cls, path: Path) -> Wheel:
        with zipfile.ZipFile(path) as archive:
            (metadata,) = (
                name
                for name in archive.namelist()
                if name.endswith(".dist-info/METADATA") and name.count("/") == 1
            )
            headers = HeaderParser().parsestr(archive.read(metadata).decode())
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        return cls(
            path,
            headers["Name"].lower().replace("_", "-"),
            headers["Version"],
            headers["Requires-Python"],
            tuple(headers.get_all("Requires-Dist", [])),
            digest,
        )


def fill_wheelhouse(folder: Path) -> None:
    pip_download(folder, *FROM_THE_INDEX)
    write_trinket(folder)


def wheelhouse(folder: Path) -> dict[str, Wheel]:
    """The wheels of a folder by the name of their project."""
    wheels = [Wheel.read(path) for path in sorted(folder.glob("*.whl"))]
    return {wheel.name: wheel for wheel in wheels}


def write_trinket(folder: Path) -> Path:
    """A pure Python wheel written by hand, with every scheme key and both kinds of entry point."""
    data, info = "trinket-1.0.data", "trinket-1.0.dist-info"
    members: list[tuple[str, str, int]] = [
        ("trinket/__init__.py", '__version__ = "1.0"\n', 0o644),
        (
            "trinket/cli.py",
            'import sys\n\n\ndef main():\n    print("trinket", sys.prefix, *sys.argv[1:])\n\n\n'
            "class Tool:\n    run = staticmethod(main)\n",
            0o644,
        ),
        ("trinket/gui.py", 'def main():\n    print("trinket has no window")\n', 0o644),
        (f"{data}/purelib/trinket_pure.py", "PURE = True\n", 0o644),
        (f"{data}/platlib/trinket_plat.py", "PLAT = True\n", 0o644),
        (f"{data}/scripts/trinket-script", "#!python\nimport trinket.cli as c\nc.main()\n", 0o755),
        (
            f"{data}/scripts/trinket-windowed",
            "#!pythonw\nimport trinket.gui as g\ng.main()\n",
            0o755,
        ),
        (f"{data}/scripts/trinket-shell", "#!/bin/sh\necho trinket\n", 0o644),
        (f"{data}/data/share/trinket/data.txt", "data\n", 0o644),
        (f"{data}/data/etc/trinket.conf", "configuration\n", 0o600),
        (f"{data}/headers/trinket.h", "#define TRINKET 1\n", 0o644),
        (
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: trinket\nVersion: 1.0\nRequires-Python: >=3.8\n"
            "Requires-Dist: click>=8\nRequires-Dist: idna; extra == 'names'\n",
            0o644,
        ),
        (
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: pixi-ship tests\nRoot-Is-Purelib: true\n"
            "Tag: py3-none-any\n",
            0o644,
        ),
        (
            f"{info}/entry_points.txt",
            "[console_scripts]\ntrinket = trinket.cli:main\n"
            "trinket-object = trinket.cli:Tool.run [names]\n"
            "[gui_scripts]\ntrinket-window = trinket.gui:main\n",
            0o644,
        ),
    ]
    record = "".join(f"{name},{_record_entry(text)}\n" for name, text, _ in members)
    members.append((f"{info}/RECORD", f"{record}{info}/RECORD,,\n", 0o644))
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / "trinket-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text, mode in members:
            member = zipfile.ZipInfo(name, ZIP_DATE)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = (0o100000 | mode) << 16
            archive.writestr(member, text)
    return wheel


def _record_entry(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
    return f"sha256={digest.decode()},{len(text.encode())}"
