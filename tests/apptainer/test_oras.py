"""SIFs travel between pixi-ship and Apptainer through a registry, in both directions."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..conftest import TestData
from ..registry.distribution import DockerRegistry
from ..registry.fixtures import docker_registry
from ..tiny import ship
from .conftest import BASE, Sif
from .runtime import Apptainer

__all__ = ["docker_registry"]


@pytest.fixture
def pushed(docker_registry: DockerRegistry, channel_data: TestData, tmp_path: Path) -> str:
    """The numpy workspace as `build --to oras:` leaves it in a registry, without the transport."""
    place = f"{docker_registry.address}/team/numpy:sif"
    ran = ship(
        *("build", "-w", channel_data.workspace("numpy"), "--base", BASE, "--no-compile"),
        *("--cache-dir", tmp_path / "cache", "--to", f"oras://{place}"),
        *("--to", f"sif:{tmp_path / 'numpy.sif'}"),
    )
    assert ran.status == 0, ran.err
    return place


def test_apptainer_pulls_what_was_pushed(apptainer: Apptainer, pushed: str, tmp_path: Path) -> None:
    target = apptainer.folder / "pulled.sif"
    done = apptainer.run("pull", "--force", "--no-https", target, f"oras://{pushed}")
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == (tmp_path / "numpy.sif").read_bytes()
    done = apptainer.run("exec", target, "greet")
    assert done.stdout.startswith("hello world from greet"), done.stderr


def test_apptainer_runs_it_from_the_registry(apptainer: Apptainer, pushed: str) -> None:
    """As HTCondor's container universe does with `container_image = oras://…`."""
    done = apptainer.run("exec", "--no-https", f"oras://{pushed}", "greet")
    assert done.stdout.startswith("hello world from greet"), done.stderr


def test_what_apptainer_pushed_is_pulled(
    root: Apptainer, foreign_sif: Sif, docker_registry: DockerRegistry, tmp_path: Path
) -> None:
    """A SIF of its own making, which has no list of packs, comes whole."""
    place = f"oras://{docker_registry.address}/team/foreign:1"
    done = root.run("push", "--no-https", foreign_sif.path, place, binds=[foreign_sif.path])
    assert done.returncode == 0, done.stderr
    found = ship("pull", place, "--to", tmp_path / "node", "--json").document
    assert Path(found["path"]).read_bytes() == foreign_sif.path.read_bytes()


def test_a_pulled_image_runs(
    apptainer: Apptainer,
    channel_data: TestData,
    docker_registry: DockerRegistry,
    tmp_path: Path,
) -> None:
    """What a node makes of the layers of an image."""
    place = f"docker://{docker_registry.address}/team/numpy:1"
    ran = ship(
        *("build", "-w", channel_data.workspace("numpy"), "--base", BASE, "--no-compile"),
        *("--cache-dir", tmp_path / "cache", "--to", place),
    )
    assert ran.status == 0, ran.err
    found = ship("pull", place, "--to", apptainer.folder / "node", "--json").document
    done = apptainer.run("exec", found["path"], "python", "-c", "import numpy; print(numpy.e)")
    assert done.stdout.startswith("2.718"), done.stderr


def test_an_image_of_others_runs_when_converted(apptainer: Apptainer, tmp_path: Path) -> None:
    """The base alone, which nobody built with pixi-ship."""
    sif = apptainer.folder / "base.sif"
    ran = ship("convert", BASE, "--to", f"sif:{sif}", "--cache-dir", tmp_path / "cache")
    assert ran.status == 0, ran.err
    done = apptainer.run("exec", sif, "sh", "-c", ". /etc/os-release && echo $ID")
    assert done.stdout == "debian\n", done.stderr
