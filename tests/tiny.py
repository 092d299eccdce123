"""Tiny workspaces with a hand-written lock, archives of raw bytes, and pixi-ship run on them."""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pixi_ship.cli import main

from .channel.conda_package import CondaPackage, Entry, File

IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")


def lacking(what: str) -> None:
    """Skip, by name, what this machine cannot do; where CI runs, that is a failure."""
    if IN_CI:
        pytest.fail(what)
    pytest.skip(what)


@dataclass(frozen=True)
class Ran:
    """How a run of pixi-ship ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document of a run that ended well."""
        assert self.status == 0, self.err
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def digest(self) -> str:
        return str(self.document["digest"])

    @property
    def image(self) -> dict[str, Any]:
        """What the document says of the one image."""
        (found,) = self.document["images"]
        return dict(found)


def ship(*words: str | Path) -> Ran:
    """Run pixi-ship in this process."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main([str(word) for word in words])
        except SystemExit as done:
            status = int(done.code or 0)
    return Ran(status, out.getvalue(), err.getvalue())


def ship_apart(
    *words: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    prefix: Sequence[str] = (),
) -> Ran:
    """Run pixi-ship as a program of its own, behind `prefix` (such as setpriv and its options)."""
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "pixi_ship", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@dataclass
class Tiny:
    """A workspace in `root/work` over archives in `root/channel`, with a cache and an output."""

    root: Path
    manifest: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def channel(self) -> Path:
        return self.root / "channel"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def output(self) -> Path:
        return self.root / "out"

    def lock(
        self,
        *archives: Path,
        environment: str = "default",
        channel: str | None = None,
        urls: Mapping[Path, str] | None = None,
        **facts: Any,
    ) -> None:
        """Write manifest and lock; `facts` go to every archive's record in place of the real."""
        name = self.work / "pixi.toml"
        url = channel or self.channel.as_uri()
        name.write_text(
            f'[workspace]\nname = "tiny"\nchannels = ["{url}"]\nplatforms = ["linux-64"]\n'
            + (f"\n[environments]\n{environment} = []\n" if environment != "default" else "")
            + self.manifest
        )
        rows = [_record(archive, (urls or {}).get(archive), facts) for archive in archives]
        packages = [{kind: row[kind]} for row in rows for kind in ("conda", "pypi") if kind in row]
        document = {
            "version": 6,
            "environments": {
                environment: {"channels": [{"url": url}], "packages": {"linux-64": packages}}
            },
            "packages": rows,
        }
        # JSON is YAML.
        (self.work / "pixi.lock").write_text(json.dumps(document, indent=1))

    def words(self, *more: str | Path, to: str | None = None) -> list[str | Path]:
        return [
            *("build", "-w", self.work, "--base", "scratch", "--to", to or f"oci:{self.output}:t"),
            *("--cache-dir", self.cache, "--json", *more),
        ]

    def build(self, *more: str | Path) -> Ran:
        return ship(*self.words(*more))

    def refused(self, *message: str, status: int = 1, more: Sequence[str | Path] = ()) -> None:
        """Build, and expect exactly these lines on stderr, and nothing left behind."""
        self.failed_cleanly(self.build(*more), *message, status=status)

    def failed_cleanly(self, ran: Ran, *message: str, status: int = 1) -> None:
        assert (ran.err, ran.status) == ("".join(f"{line}\n" for line in message), status)
        assert not ran.out
        self.assert_clean()

    def assert_clean(self) -> None:
        """No output, no part of one, and nothing unfinished in the cache."""
        assert sorted(path.name for path in self.root.iterdir() if path.name[0] == ".") == []
        assert not self.output.exists()
        unfinished = self.cache / "tmp"
        assert not unfinished.exists() or list(unfinished.iterdir()) == []

    def works(self, *archives: Path) -> Ran:
        """The same workspace builds once its archives are good."""
        if archives:
            self.lock(*archives)
        ran = self.build()
        assert ran.status == 0, ran.err
        assert (self.output / "index.json").is_file()
        return ran

    def good(self, name: str = "thing") -> Path:
        """A package without a fault."""
        package = CondaPackage(name, "1.0", [File(f"share/{name}.txt", f"{name}\n".encode())])
        return package.write(self.channel)

    def base(self, glibc: str | None = None) -> Path:
        """An image of our own as a base, whose C library says that it is of a version."""
        files: list[Entry] = [File("share/base", b"base\n")]
        if glibc:
            banner = f"GNU C Library (Debian) stable release version {glibc}.\n".encode()
            files.append(File("lib/libc.so.6", banner, 0o755))
        other = Tiny(self.root / "base")
        other.lock(CondaPackage("base", "1.0", files).write(other.channel))
        other.works()
        return other.output

    def python(self) -> Path:
        """What environments with wheels and noarch packages need: a package called python."""
        program = File("bin/python3.11", b"#!/bin/sh\n", 0o755)
        return CondaPackage("python", "3.11.9", [program]).write(self.channel)


def _record(archive: Path, url: str | None, facts: Mapping[str, Any]) -> dict[str, Any]:
    data = archive.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    if archive.suffix == ".whl":
        name, version = archive.name.split("-")[:2]
        pypi = {"pypi": url or str(archive), "name": name, "version": version, "sha256": sha256}
        return {**pypi, **facts}
    stem = archive.name.removesuffix(".conda").removesuffix(".tar.bz2")
    name, version, build = stem.rsplit("-", 2)
    conda = {"conda": url or archive.as_uri(), "sha256": sha256, "size": len(data)}
    conda |= {"name": name, "version": version, "build": build, "build_number": 0}
    conda |= {"subdir": archive.parent.name}
    if build.startswith("py_"):
        conda["noarch"] = "python"
    return {key: value for key, value in {**conda, **facts}.items() if value is not None}


def member(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A tar member; `fields` are those of TarInfo."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def tar_of(
    members: Iterable[tuple[tarfile.TarInfo, bytes]], tar_format: int = tarfile.GNU_FORMAT
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=tar_format, errors="surrogateescape"
    ) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return out.getvalue()


def paths_json(*paths: str, **fields: Any) -> bytes:
    rows = [{"_path": path, "path_type": "hardlink", **fields} for path in paths]
    return json.dumps({"paths": rows, "paths_version": 1}).encode()


def info_of(name: str = "thing", *, paths: bytes, **more: Any) -> dict[str, bytes]:
    """The files of `info/`; `more` are fields of index.json, or whole files as bytes."""
    index = {"name": name, "version": "1.0", "build": "0", "build_number": 0, "depends": []}
    texts = {key: value for key, value in more.items() if isinstance(value, bytes)}
    index |= {key: value for key, value in more.items() if not isinstance(value, bytes)}
    return {"index.json": json.dumps(index).encode(), "paths.json": paths} | {
        f"{key}.json": value for key, value in texts.items()
    }


def raw_conda(
    folder: Path,
    info: Mapping[str, bytes],
    payload: bytes,
    name: str = "thing-1.0-0.conda",
    *,
    packed: bool = False,
) -> Path:
    """A `.conda` of any payload tar (already compressed where `packed`)."""
    path = folder / "linux-64" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    stem = name.removesuffix(".conda")
    inner = tar_of(member(f"info/{key}", data) for key, data in info.items())
    compress = zstandard.ZstdCompressor().compress
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", '{"conda_pkg_format_version": 2}')
        archive.writestr(f"info-{stem}.tar.zst", compress(inner))
        archive.writestr(f"pkg-{stem}.tar.zst", payload if packed else compress(payload))
    return path


def raw_bz2(
    folder: Path,
    info: Mapping[str, bytes],
    members: Iterable[tuple[tarfile.TarInfo, bytes]],
    name: str = "thing-1.0-0.tar.bz2",
) -> Path:
    path = folder / "linux-64" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    first = [member(f"info/{key}", data) for key, data in info.items()]
    path.write_bytes(bz2.compress(tar_of([*first, *members])))
    return path


def raw_wheel(
    folder: Path,
    files: Mapping[str, bytes],
    name: str = "thing-1.0-py3-none-any.whl",
    *,
    record: str | None = None,
    compression: int = zipfile.ZIP_DEFLATED,
) -> Path:
    """A wheel of `files`, with the three documents every wheel has."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    info = "-".join(name.split("-")[:2]) + ".dist-info"
    documents = {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    everything = {**files, **documents}
    if record is None:
        record = "".join(f"{each},,\n" for each in [*everything, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w", compression) as archive:
        for each, data in {**everything, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(zipfile.ZipInfo(each, (2023, 1, 1, 0, 0, 0)), data, compression)
    return path
