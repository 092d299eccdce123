"""Apptainer builds the rendered definition, and the SIF runs by `exec`, `run` and `test`.

The images that the definition names are in a registry of this process; Pixi as in the tests of
Buildah.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..apptainer.conftest import apptainer_or_skip
from ..apptainer.runtime import Apptainer
from ..contract.tools import output
from ..registry.fake import FakeRegistry
from .conftest import BASE, PIXI_IMAGE, Builder, render, with_wheels

FAST = ("--mksquashfs-args", "-comp zstd -Xcompression-level 1")
PREFIX = "/app/.pixi/envs/default"


@dataclass(frozen=True)
class Place:
    """Apptainer, whose home is the workspace, and where its images are."""

    apptainer: Apptainer
    builder: Builder
    registry: str

    @property
    def home(self) -> Path:
        return self.apptainer.folder / "home"

    def build(self, sif: str, *options: str, arguments: tuple[str, ...] = ()) -> Path:
        """Render the definition into the workspace, and build it there."""
        stages = (
            *("--pixi-image", f"docker://{self.registry}/pixi:test"),
            *("--base", f"docker://{self.registry}/base:test"),
        )
        definition = self.home / "apptainer.def"
        ran = render("apptainer", "-w", self.home, *stages, *options, "--to", definition)
        assert ran.status == 0, ran.err
        channel = self.builder.data.channel
        made = self.apptainer.folder / sif
        done = self.apptainer.run(
            *("build", "--no-https", "--bind", f"{channel}:{channel}:ro", *FAST, *arguments),
            *(made, definition.name),
            binds=[channel],
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return made


@pytest.fixture(scope="module")
def place(builder: Builder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    # As root it wants all capabilities, which not every machine gives to root.
    found = apptainer_or_skip("ordinary", tmp_path_factory.mktemp("apptainer"))
    copied = with_wheels(builder.data, "numpy", tmp_path_factory.mktemp("numpy"), "my wheels")
    shutil.copytree(copied, found.folder / "home", dirs_exist_ok=True)
    with FakeRegistry() as registry:
        for image, name in ((PIXI_IMAGE, "pixi"), (BASE, "base")):
            where = f"docker://{registry.address}/{name}:test"
            push = ("push", "--quiet", "--tls-verify=false", "--compression-format", "gzip")
            output(*builder.buildah, *push, image, where)
        yield Place(found, builder, registry.address)


@pytest.fixture(scope="module")
def sif(place: Place) -> Path:
    (place.home / "a table.csv").write_text("1\n")
    return place.build("numpy.sif", "--include", "a table.csv:/opt/data/")


def test_exec_is_active(place: Place, sif: Path) -> None:
    """`exec` runs no runscript; the environment comes from `%environment`."""
    script = "import numpy, os, sys; print(sys.prefix, os.environ['DEMO_MODE'])"
    done = place.apptainer.run("exec", sif, "python", "-c", script)
    assert done.stdout == f"{PREFIX} batch\n", done.stderr


def test_run_and_test(place: Place, sif: Path) -> None:
    done = place.apptainer.run("run", sif, "python", "-c", "print('a  b')")
    assert done.stdout == "a  b\n", done.stderr
    tested = place.apptainer.run("test", sif)
    assert tested.returncode == 0, tested.stderr


def test_the_entrypoint_is_there_too(place: Place, sif: Path) -> None:
    """Scripts of jobs that start it, or source it without its last line, run in the SIF as well."""
    sourced = ". <(sed '$d' /app/entrypoint.sh) && python -c 'import sys; print(sys.prefix)'"
    for words in (
        ("bash", "-c", sourced),
        ("/app/entrypoint.sh", "sh", "-c", "echo $CONDA_PREFIX"),
    ):
        done = place.apptainer.run("exec", sif, *words)
        assert done.stdout == f"{PREFIX}\n", done.stderr


def test_names_with_spaces(place: Place, sif: Path) -> None:
    done = place.apptainer.run("exec", sif, "cat", "/opt/data/a table.csv")
    assert done.stdout == "1\n", done.stderr


def test_arguments_choose_the_environment(place: Place) -> None:
    """Of `--as-template`, with `--build-arg` as with a Dockerfile."""
    chosen = ("--build-arg", "ENVIRONMENT=minimal", "--build-arg", "CUDA_VERSION=12.4")
    made = place.build("minimal.sif", "--as-template", arguments=chosen)
    done = place.apptainer.run("exec", made, "sh", "-c", "echo $CONDA_PREFIX")
    assert done.stdout == "/app/.pixi/envs/minimal\n", done.stderr
