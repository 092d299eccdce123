"""A workspace in which one package of some megabytes is another: what an update really moves.

The package is made anew with a line more in each of its Python files, under the next build number.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import zstandard

PACKAGE = "sympy"
_LINE = b"# another build\n"
_LEVEL = 3


def with_rebuilt_package(workspace: Path, into: Path) -> Path:
    """A copy of a workspace whose lock has another build of PACKAGE, which lies beside it."""
    lock = (workspace / "pixi.lock").read_text()
    found = re.search(rf"\S+/{PACKAGE}-[^-\s]+-(\w+)_0\.conda", lock)
    if found is None:
        raise RuntimeError(f"the lock in {workspace} has no {PACKAGE}; next: make setup")
    old = Path(found[0])
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(workspace, into)
    new = into / "channel" / old.parent.name / old.name.replace("_0.conda", "_1.conda")
    new.parent.mkdir(parents=True)
    _rebuild(old, new)
    (into / "pixi.lock").write_text(_relocked(lock, old, new))
    return into


def _relocked(lock: str, old: Path, new: Path) -> str:
    archive = new.read_bytes()
    entry = re.search(rf"^- conda: {re.escape(str(old))}\n(?:  .*\n)+", lock, re.MULTILINE)
    if entry is None:
        raise RuntimeError(f"the lock does not describe {old}")
    facts = {
        "sha256": hashlib.sha256(archive).hexdigest(),
        "md5": hashlib.md5(archive, usedforsecurity=False).hexdigest(),
        "size": str(len(archive)),
    }
    text = entry[0]
    for name, value in facts.items():
        text = re.sub(rf"^  {name}: .*$", f"  {name}: {value}", text, flags=re.MULTILINE)
    return lock.replace(entry[0], text).replace(str(old), str(new))


def _rebuild(old: Path, new: Path) -> None:
    """Write the other build; the formats are those of CEP 26 and conda's paths.json."""
    facts: dict[str, tuple[str, int]] = {}
    with zipfile.ZipFile(old) as archive, zipfile.ZipFile(new, "w") as made:
        # Files first: what is said of them comes after.
        for name in sorted(archive.namelist(), key=lambda each: not each.startswith("pkg-")):
            data = archive.read(name)
            if name.startswith("pkg-"):
                data = _repacked(data, lambda path, data: _with_line(path, data, facts))
            elif name.startswith("info-"):
                data = _repacked(data, lambda path, data: _described(path, data, facts))
            made.writestr(name.replace("_0.tar", "_1.tar"), data)


def _with_line(path: str, data: bytes, facts: dict[str, tuple[str, int]]) -> bytes:
    if path.endswith(".py"):
        data += _LINE
        facts[path] = (hashlib.sha256(data).hexdigest(), len(data))
    return data


def _described(path: str, data: bytes, facts: dict[str, tuple[str, int]]) -> bytes:
    if path == "info/index.json":
        index: dict[str, Any] = json.loads(data)
        index["build_number"] = 1
        index["build"] = re.sub(r"_0$", "_1", index["build"])
        return json.dumps(index).encode()
    if path == "info/paths.json":
        document: dict[str, Any] = json.loads(data)
        for row in document["paths"]:
            if row["_path"] in facts:
                row["sha256"], row["size_in_bytes"] = facts[row["_path"]]
        return json.dumps(document).encode()
    return data


def _repacked(data: bytes, change: Any) -> bytes:
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    made = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(plain)) as old,
        tarfile.open(fileobj=made, mode="w") as new,
    ):
        for member in old:
            content = old.extractfile(member) if member.isfile() else None
            if content is None:
                new.addfile(member)
                continue
            changed = change(member.name, content.read())
            member.size = len(changed)
            new.addfile(member, io.BytesIO(changed))
    return zstandard.ZstdCompressor(level=_LEVEL).compress(made.getvalue())
