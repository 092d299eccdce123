"""`render` names the image by its digest, prints what can go on through a pipe, writes whole files.

The image is in a registry of this process; nothing is started.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..registry.fake import FakeRegistry
from ..registry.shipping import home
from ..tiny import Ran, Tiny, ship

__all__ = ["home"]


@dataclass(frozen=True)
class Place:
    """An image in a registry, and its digest."""

    image: str
    digest: str
    root: Path

    def render(self, target: str, *words: str | Path) -> Ran:
        return ship("render", target, f"docker://{self.image}:1", *words)


@pytest.fixture
def place(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.chdir(tmp_path)
    tiny = Tiny(tmp_path / "tiny")
    tiny.lock(tiny.good())
    monkeypatch.setenv("PIXI_SHIP_CACHE_DIR", str(tiny.cache))
    with FakeRegistry() as registry:
        image = f"{registry.address}/lab/fit"
        ran = ship("build", "-w", tiny.work, "--base", "scratch", "--to", f"docker://{image}:1")
        assert ran.status == 0, ran.err
        document = json.loads(ship("inspect", f"docker://{image}:1", "--json").out)
        yield Place(image, document["images"][0]["digest"], tmp_path)


def test_stdout_is_the_file(place: Place) -> None:
    ran = place.render("kubernetes", "--memory", "1G", "--", "python", "-c", "print('yes: no')")
    assert ran.status == 0, ran.err
    document: dict[str, Any] = yaml.safe_load(ran.out)
    (container,) = document["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"{place.image}@{place.digest}"
    assert container["args"] == ["python", "-c", "print('yes: no')"]
    assert document["kind"] == "Job"


def test_a_file_and_a_directory(place: Place) -> None:
    file, directory = place.root / "new" / "job.nf", place.root / "there"
    directory.mkdir()
    for where in (file, directory):
        ran = place.render("nextflow", "--to", where, "--", "true")
        assert (ran.status, ran.out) == (0, "")
    assert file.read_text() == (directory / "fit.nf").read_text()
    assert [each.name for each in file.parent.iterdir()] == ["job.nf"]


def test_inputs_as_seen_from_the_file(place: Place) -> None:
    (place.root / "data.txt").write_text("")
    ran = place.render("snakemake", "--input", "data.txt", "--", "wc", "data.txt")
    assert '    input:\n        "data.txt",\n' in ran.out
    place.render("snakemake", "--input", "data.txt", "--to", "below/fit.smk", "--", "wc")
    assert f'"{place.root}/data.txt"' in (place.root / "below" / "fit.smk").read_text()


@pytest.mark.parametrize("scheduler", ["slurm", "htcondor"])
def test_schedulers_as_submit_would(place: Place, scheduler: str) -> None:
    words = ("--array", "1-5:2", "--mail", "me@example.org", "--json", "--", "true")
    found = json.loads(place.render(scheduler, *words).out)
    dry = ship("submit", scheduler, f"docker://{place.image}:1", "--dry-run", *words)
    shown = json.loads(dry.out)
    assert all(found[key] == shown[key] for key in ("files", "command", "warnings"))
    assert place.digest in found["image"]


def test_a_directory_that_can_be_submitted(place: Place) -> None:
    """The script leads into directories of its tasks, so they are there."""
    words = ("--array", "1-5:2", "--", "printf", "%s\n", "$HOME", "{index}")
    for scheduler, names in (("slurm", {"fit.sbatch"}), ("htcondor", {"fit.sub", "fit.sh"})):
        ran = place.render(scheduler, "--to", f"jobs/{scheduler}", *words)
        assert ran.status == 0, ran.err
        made = place.root / "jobs" / scheduler
        tasks = {"task-1", "task-3", "task-5"}
        assert {each.name for each in made.iterdir()} == names | tasks
        text = "".join(path.read_text() for path in made.iterdir() if path.is_file())
        assert f"{made}/task-" in text
    assert (place.root / "jobs" / "htcondor" / "fit.sh").stat().st_mode & 0o777 == 0o755


def test_what_exists_is_not_written_over(place: Place) -> None:
    (place.root / "mine").mkdir()
    ran = place.render("slurm", "--to", "mine", "--", "true")
    assert (ran.status, "exists already" in ran.err) == (2, True)
    assert not list((place.root / "mine").iterdir())


def test_what_cannot_be_leaves_nothing(place: Place) -> None:
    ran = place.render("kubernetes", "--output", "a", "--to", "new/job.yaml", "--", "true")
    assert (ran.status, "carries no files" in ran.err) == (2, True)
    assert not (place.root / "new").exists()


def test_dask_needs_no_command(place: Place) -> None:
    ran = place.render("dask-jobqueue", "--memory", "2G")
    assert (ran.status, "python='python'" in ran.out) == (0, True)
    assert "1024 MiB of disk" in ran.err
    assert place.render("kubernetes").status == 2
