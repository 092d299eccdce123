"""Images of the classic route, built by Buildah and Apptainer from what `render` writes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ..conftest import REPOSITORY, TestData
from ..contract.tools import Podman, need, output, run, working_podman
from ..tiny import Ran, ship
from .pixi_image import build_pixi_image, write_pixi

BASE_ARCHIVE = REPOSITORY / ".test-data" / "base.docker.tar"
PIXI_IMAGE = "localhost/pixi:test"
BASE = "localhost/base:test"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and "built" in item.path.name:
            item.add_marker(pytest.mark.contract)
            # One worker: the images are built once.
            item.add_marker(pytest.mark.xdist_group("classic"))


def render(*words: str | Path) -> Ran:
    """`pixi-ship render WORDS…` in this process."""
    return ship("render", *words)


def with_wheels(data: TestData, name: str, folder: Path, place: str) -> Path:
    """A copy of a fixture workspace whose wheels lie at ``place``, seen from the workspace.

    In the fixtures they are two directories up, which no path in an image can be.
    """
    workspace = folder / name
    shutil.copytree(data.workspace(name), workspace)
    lock = workspace / "pixi.lock"
    wheels = workspace / place
    wheels.mkdir(parents=True, exist_ok=True)
    text = lock.read_text()
    for location in set(re.findall(r"\.\./\.\./wheelhouse/(\S+\.whl)", text)):
        shutil.copy2(data.wheelhouse / location, wheels)
    lock.write_text(text.replace("../../wheelhouse", place))
    return workspace


@dataclass(frozen=True)
class Builder:
    """Buildah with an image that has Pixi, and Podman to run what it builds."""

    podman: Podman
    data: TestData
    folder: Path
    built: dict[tuple[str, ...], str] = field(default_factory=dict)

    @property
    def buildah(self) -> list[str]:
        return ["buildah", *self.podman.place]

    def image(self, workspace: Path, *options: str) -> str:
        """Build what `render dockerfile` writes for a workspace, once; returns the image's name."""
        key = (str(workspace), *options)
        if key not in self.built:
            name = f"localhost/classic:{len(self.built)}"
            file = self.folder / f"Dockerfile.{len(self.built)}"
            done = self.build(self.render(workspace, file, *options), file, workspace, name)
            assert done.returncode == 0, done.stdout + done.stderr
            self.built[key] = name
        return self.built[key]

    def render(self, workspace: Path, file: Path, *options: str) -> str:
        """Write the Dockerfile; returns the context that the command names."""
        stages = ("--pixi-image", f"docker://{PIXI_IMAGE}", "--base", f"docker://{BASE}")
        ran = render("dockerfile", "-w", workspace, *stages, "--to", file, "--json", *options)
        words: list[str] = ran.document["command"]
        return words[-1]

    def build(
        self, context: str, file: Path, workspace: Path, name: str, *options: str
    ) -> subprocess.CompletedProcess[str]:
        channel = self.data.channel
        return run(
            *(*self.buildah, "build", "--pull=never", "--network=none", "--layers"),
            *(*self.podman.runtime, *self.podman.limits),
            *("--volume", f"{channel}:{channel}:ro"),
            *("--file", file, "--ignorefile", f"{file}.dockerignore"),
            *("--tag", name, *options, context),
            cwd=workspace,
        )

    def workspace(self, name: str) -> Path:
        """A fixture workspace, made fit for the classic route."""
        place = {"numpy": "../wheelhouse", "pyproject": "wheels"}.get(name)
        if place is None:
            return self.data.workspace(name)
        folder = self.folder / "workspaces"
        if not (folder / name).exists():
            with_wheels(self.data, name, folder, place)
        return folder / name

    def run(
        self, image: str, *command: str, options: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        return self.podman.run(image, *command, options=options)


@pytest.fixture(scope="session")
def pixi_root(channel_data: TestData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that make an image one with `pixi`."""
    root = tmp_path_factory.mktemp("pixi") / "root"
    write_pixi(root, channel_data)
    return root


@pytest.fixture(scope="session")
def builder(
    channel_data: TestData, pixi_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Builder]:
    need("buildah", "podman", root=True)
    if not BASE_ARCHIVE.exists():
        pytest.skip(f"not made yet: {BASE_ARCHIVE} (make setup makes it)")
    # Podman takes no longer run root than 50 characters, which pytest's folders exceed.
    with TemporaryDirectory(prefix="ship-") as folder:
        podman = working_podman(Path(folder), f"docker-archive:{BASE_ARCHIVE}")
        found = Builder(podman, channel_data, tmp_path_factory.mktemp("classic"))
        base = podman.pull(f"docker-archive:{BASE_ARCHIVE}")
        output(*found.buildah, "tag", base, BASE)
        build_pixi_image(found.buildah, BASE, pixi_root, PIXI_IMAGE)
        yield found
        podman.forget()


@pytest.fixture(scope="session")
def ours(builder: Builder) -> Callable[[Path], str]:
    """The image that `pixi-ship build` makes for a workspace, in the same store."""
    made: dict[Path, str] = {}

    def image(workspace: Path, *options: str) -> str:
        if workspace not in made:
            layout = builder.folder / f"ours-{len(made)}"
            reference = f"oci:{layout}:ours"
            place = ("-w", str(workspace), "--cache-dir", str(builder.folder / "cache"))
            base = f"oci:{REPOSITORY / '.test-data' / 'base'}:bookworm"
            words = ("build", *place, "--base", base, "--to", reference, "--quiet", *options)
            output(sys.executable, "-m", "pixi_ship", *words)
            # Like podman, it makes a name of an `oci:` path, which must look like one.
            made[workspace] = builder.podman.pull(f"oci:{layout.name}:ours", cwd=builder.folder)
        return made[workspace]

    return image
