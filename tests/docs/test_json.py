"""The page on JSON documents says what the verbs print.

Every verb is run on small workspaces, by turns with all that its document can hold: two
platforms, a base in a registry whose tag moved, a package that needs building, an image that
differs. Each field of each document must be on the page with the kind of value it has, and each
field on the page must have been in a document with a value.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pixi_ship.digest import Digest

from ..channel.conda_package import CondaPackage, File
from ..registry.fake import FakeRegistry
from ..tiny import Tiny, raw_wheel, ship
from .json_page import documented, fields, titles

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
MAPS = frozenset({"images[].env", "images[].labels"})


@dataclass
class Documents:
    """What the verbs printed, by the headings of the page that speak of it."""

    found: dict[tuple[str, ...], list[dict[str, Any]]] = field(default_factory=dict)

    def run(self, *words: str | Path, status: int = 0, title: str = "") -> dict[str, Any]:
        at = 2 if words[0] in ("cache", "render") else 1
        ran = ship(*words[:at], "--json", *words[at:])
        assert ran.status == status, ran.err
        document: dict[str, Any] = json.loads(ran.out)
        titles = (title,) if title else _titles(words)
        self.found.setdefault(titles, []).append(document)
        return document


def _titles(words: tuple[str | Path, ...]) -> tuple[str, ...]:
    if words[0] in ("plan", "build"):
        return "`plan` and `build`", f"`{words[0]}`"
    return (f"`cache {words[1]}`",) if words[0] == "cache" else (f"`{words[0]}`",)


@dataclass(frozen=True)
class Shop:
    """A workspace for two platforms, over archives that are written as they are wanted."""

    tiny: Tiny
    registry: FakeRegistry

    @property
    def common(self) -> tuple[str | Path, ...]:
        return "-w", self.tiny.work, "--cache-dir", self.tiny.cache

    def repository(self, name: str) -> str:
        return f"docker://{self.registry.address}/{name}"

    @property
    def layout(self) -> Path:
        return self.tiny.root / "layout"

    def with_python(self) -> tuple[Path, Path]:
        """A python of the minor version that runs this test, and a wheel."""
        program = File(f"bin/python{PYTHON}", b"#!/bin/sh\n", 0o755)
        python = CondaPackage("python", f"{PYTHON}.0", [program]).write(self.tiny.channel)
        return python, raw_wheel(self.tiny.root / "wheels", {"thing/__init__.py": b"x = 1\n"})

    def package(self, name: str, version: str, subdir: str = "linux-64") -> Path:
        files = [File(f"share/{name}", f"{version} {subdir}\n".encode())]
        package = CondaPackage(name, version, list(files), subdir=subdir)  # type: ignore[arg-type]
        return package.write(self.tiny.channel)

    def lock(self, *archives: Path, mode: str, **facts: Any) -> None:
        """Lock archives, each for the platform of its directory; wheels for linux-64."""
        self.tiny.manifest = (
            f'[system-requirements]\ncuda = "12"\n[activation.env]\nMODE = "{mode}"\n'
            '[tasks]\nrun = "true"\n'
        )
        self.tiny.lock(*archives, **facts)
        path = self.tiny.work / "pixi.lock"
        document = json.loads(path.read_text())
        packages = document["environments"]["default"]["packages"]
        other = [row for row in packages["linux-64"] if "linux-aarch64" in str(row)]
        packages["linux-64"] = [row for row in packages["linux-64"] if row not in other]
        packages["linux-aarch64"] = other
        path.write_text(json.dumps(document))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with FakeRegistry() as registry:
        yield Shop(Tiny(tmp_path), registry)


BOTH = ("--platform", "linux-64", "--platform", "linux-aarch64")


def test_every_field(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """One story, since each document needs what others made."""
    documents = Documents()
    _build_and_verify(documents, shop)
    _look_at_images(documents, shop)
    _run_jobs(documents, shop, monkeypatch)
    python, wheel = shop.with_python()
    shop.lock(python, wheel, mode="c", pypi="https://files.example/thing-1.0.tar.gz")
    documents.run("plan", *shop.common, "--base", "scratch")
    documents.run("plan", *shop.common, "--base", "scratch", "--inject", wheel, "--task", "run")
    shop.lock(wheel, mode="d")
    documents.run("plan", *shop.common, "--base", "scratch")
    _look_after_cache(documents, shop.tiny.cache)
    assert {title for titled in documents.found for title in titled} == titles()
    _held_against_page(documents.found)


def _build_and_verify(documents: Documents, shop: Shop) -> None:
    base, image = shop.repository("base") + ":1", shop.repository("lab/fit")
    shared = (*shop.with_python(), shop.package("tide", "1.0", "linux-aarch64"))
    _push_base(shop, base, "1")
    shop.lock(shop.package("tide", "1.0"), shop.package("gone", "1.0"), *shared, mode="a")
    documents.run("plan", *shop.common, "--base", base)
    documents.run(
        *("build", *shop.common, "--base", base, "--base-lock", "--to", f"{image}:1"),
        *("--to", f"oci:{shop.layout}:1", "--provenance", "slsa"),
    )
    _push_base(shop, base, "2")
    documents.run("plan", *shop.common, "--base", base, "--files")
    documents.run("build", *shop.common, *BOTH, "--base", "scratch", "--to", f"{image}:both")
    documents.run("verify", *shop.common, f"{image}:1")
    shop.lock(shop.package("tide", "2.0"), shop.package("more", "1.0"), *shared, mode="b")
    documents.run("verify", *shop.common, f"{image}:1", status=1)
    documents.run("build", *shop.common, "--base", "scratch", "--to", f"{image}:2")


def _look_at_images(documents: Documents, shop: Shop) -> None:
    image, where = shop.repository("lab/fit"), ("--cache-dir", shop.tiny.cache)
    documents.run("inspect", f"{image}:1", "--packages", *where)
    documents.run("inspect", _with_user(shop.layout), *where)
    for old, new in (("1", "2"), ("2", "1"), ("2", "both"), ("both", "2")):
        assert not documents.run("diff", f"{image}:{old}", f"{image}:{new}", *where)["same"]
    documents.run("ls", image, *where)
    sif = f"{image.replace('docker:', 'oras:')}:sif"
    documents.run("convert", f"{image}:1", "--to", sif, "--squashfs-compression", "zstd", *where)
    documents.run("pull", sif, "--to", shop.tiny.root / "node")
    documents.run("inspect", sif, *where)
    _break_tag(shop.layout)
    documents.run("ls", f"oci:{shop.layout}", *where)


def _run_jobs(documents: Documents, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a Slurm that takes everything and remembers nothing."""
    programs, jobs = shop.tiny.root / "programs", shop.tiny.root / "jobs"
    programs.mkdir()
    (programs / "sbatch").write_text("#!/bin/sh\necho 12\n")
    (programs / "squeue").write_text("#!/bin/sh\necho '1|PENDING|Priority'\n")
    for each in programs.iterdir():
        each.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    words = ("submit", "slurm", f"{shop.repository('lab/fit')}:2", "--jobs", jobs)
    more = ("--array", "0-1", "--gpus", "1", "--gpu-memory", "8G")
    documents.run(*words, *more, "--dry-run", "--", "true", title="`submit --dry-run`")
    documents.run(*words, *more, "--", "true")
    classic = "`render dockerfile`, `apptainer`, `ci`"
    documents.run("render", "dockerfile", "-w", shop.tiny.work, title=classic)
    documents.run("render", "nextflow", words[2], *more, "--", "true")
    _look_for_schedulers(documents, programs)
    (job,) = jobs.iterdir()
    (job / "task-0" / "exit-code").write_text("3\n")
    documents.run("status", job)
    (programs / "squeue").write_text("#!/bin/sh\nexit 1\n")
    (job / "task-1" / "exit-code").write_text("0\n")
    documents.run("wait", job, status=3)
    _run_job_over_ssh(documents, shop, monkeypatch)


def _run_job_over_ssh(documents: Documents, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a host that is this machine, by an ssh that runs what it is given; nothing is copied."""
    programs, jobs = shop.tiny.root / "programs", shop.tiny.root / "over-ssh"
    ssh = 'until [ "$1" = cluster ]; do [ "$1" != -O ] || exit 0; shift; done; shift; exec "$@"'
    for name, text in (("ssh", ssh), ("rsync", "exit 0")):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    words = ("submit", "slurm", f"{shop.repository('lab/fit')}:2", "--jobs", jobs)
    there = ("--host", "cluster", "--remote-jobs", shop.tiny.root / "there")
    with tempfile.TemporaryDirectory(dir="/tmp") as sockets:
        monkeypatch.setenv("XDG_RUNTIME_DIR", sockets)
        documents.run(*words, *there, "--dry-run", "--", "true", title="`submit --dry-run`")
        documents.run(*words, *there, "--", "true")
        (job,) = jobs.iterdir()
        (job / "exit-code").write_text("0\n")
        documents.run("status", job)
        documents.run("wait", job)


def _look_for_schedulers(documents: Documents, programs: Path) -> None:
    """Where there are none, and where there are both."""
    documents.run("doctor")
    data = Path(__file__).parents[1] / "doctor" / "data"
    row = "gpu*|up|1-00:00:00|n/a|64|515000|0|gpu:a100:4|12|a100"
    for name, text in (
        ("sinfo", f'case "$1" in -*version) echo slurm 26.05.5 ;; *) echo "{row}" ;; esac'),
        ("sacctmgr", f"cat {data}/default-account.txt"),
        ("scontrol", f"cat {data}/config.txt"),
        ("condor_version", f"cat {data}/condor-version.txt"),
        ("condor_status", f"cat {data}/condor-status.json"),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    documents.run("doctor", "--site")


def _push_base(shop: Shop, reference: str, version: str) -> None:
    other = Tiny(shop.tiny.root / f"base-{version}")
    other.lock(CondaPackage("base", version, [File("share/base", b"base\n")]).write(other.channel))
    ran = ship(
        *("build", "-w", other.work, "--cache-dir", other.cache, "--base", "scratch"),
        *("--to", reference),
    )
    assert ran.status == 0, ran.err


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")


def _with_user(layout: Path) -> str:
    """Give the image's config a user and a directory, as some bases have; its reference."""
    index = json.loads((layout / "index.json").read_text())
    manifest = json.loads(_blob(layout, index["manifests"][0]["digest"]).read_text())
    config = json.loads(_blob(layout, manifest["config"]["digest"]).read_text())
    config["config"] |= {"User": "1000", "WorkingDir": "/data"}
    manifest["config"] |= _stored(layout, config)
    index["manifests"].append({**index["manifests"][0], **_stored(layout, manifest)})
    index["manifests"][1]["annotations"] = {"org.opencontainers.image.ref.name": "user"}
    (layout / "index.json").write_text(json.dumps(index))
    return f"oci:{layout}:user"


def _stored(layout: Path, document: dict[str, Any]) -> dict[str, Any]:
    data = json.dumps(document).encode()
    digest = str(Digest.of(data))
    _blob(layout, digest).write_bytes(data)
    return {"digest": digest, "size": len(data)}


def _break_tag(layout: Path) -> None:
    """Add a tag whose manifest is not there."""
    path = layout / "index.json"
    index = json.loads(path.read_text())
    row = {**index["manifests"][0], "digest": f"sha256:{'0' * 64}"}
    row["annotations"] = {"org.opencontainers.image.ref.name": "broken"}
    path.write_text(json.dumps({**index, "manifests": [*index["manifests"], row]}))


def _look_after_cache(documents: Documents, root: Path) -> None:
    where = ("--cache-dir", root)
    documents.run("cache", "info", *where)
    blob = min((root / "blobs").iterdir())
    blob.write_bytes(bytes(blob.stat().st_size))
    documents.run("cache", "verify", *where, status=1)
    documents.run("cache", "verify", *where, "--repair")
    documents.run("cache", "prune", *where, "--all")
    documents.run("cache", "info", *where)


def _held_against_page(found: Mapping[tuple[str, ...], Sequence[dict[str, Any]]]) -> None:
    """Nothing is printed that the page does not say; nothing is said that was not printed."""
    shown: dict[str, set[str]] = {}
    for titled, several in found.items():
        page = documented(*titled)
        for path, kind in (pair for each in several for pair in fields(each, MAPS)):
            assert path in page, f"{titled}: {path} is not on the page"
            allowed = page[path] | ({"digest"} if "string" in page[path] else set())
            assert kind in allowed, f"{titled}: {path} is {kind}, the page says {set(page[path])}"
            for title in titled if kind != "null" else ():
                shown.setdefault(title, set()).add(path)
    for title, paths in shown.items():
        page = documented(title)
        # A list of strings may have been empty: some warnings take a broken registry.
        never = {
            path for path in page.keys() - paths if page[path] != {"string"} or path[-1] != "]"
        }
        assert not never, f"{title}: never shown: {sorted(never)}"


def test_a_field_that_is_missing_would_be_found() -> None:
    """The test above is one."""
    page = documented("`cache prune`")
    assert page["removed"] == {"list"}
    assert page["removed[].size"] == {"number"}
    good = dict.fromkeys(("cache", "dry_run", "removed", "freed", "left"))
    for document, words in (
        ({"surprise": 1}, "surprise is not on the page"),
        ({"freed": "many"}, "freed is string"),
        ({"freed": 1}, "cache"),
        ({**good, "freed": None}, "is null"),
    ):
        with pytest.raises(AssertionError, match=words):
            _held_against_page({("`cache prune`",): [document]})
