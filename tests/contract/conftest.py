"""Images built once through the command line, for every outside reader to look at."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from ..registry.fixtures import certificate, docker_registry, fake_registry
from .tools import IN_CI, Podman, need, run, skopeo, working_podman

__all__ = ["certificate", "docker_registry", "fake_registry"]

DATA = Path(__file__).parents[2] / ".test-data"
WORKSPACES = DATA / "channel" / "workspaces"
BASE = f"oci:{DATA / 'base'}:bookworm"
TAG = "numpy"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.contract)


@dataclass(frozen=True)
class Built:
    """Three images of one build, one in each form, and what the command said about it."""

    folder: Path
    compression: str
    report: dict[str, Any]

    @property
    def layout(self) -> Path:
        return self.folder / "layout"

    @property
    def references(self) -> dict[str, str]:
        return references(self.folder)

    @property
    def digest(self) -> str:
        """The digest of the manifest in the OCI layout, as the command reported it."""
        return self.digests["oci"]

    @property
    def digests(self) -> dict[str, str]:
        return {
            output["reference"].split(":")[0]: output["digest"] for output in self.report["outputs"]
        }


def references(folder: Path) -> dict[str, str]:
    return {
        "oci": f"oci:{folder / 'layout'}:{TAG}",
        "oci-archive": f"oci-archive:{folder / 'image.oci.tar'}:{TAG}",
        "docker-archive": f"docker-archive:{folder / 'image.docker.tar'}:example/{TAG}:1",
    }


FORMS = tuple(references(Path()))


def ship(*words: str | Path) -> dict[str, Any]:
    """Run pixi-ship with `--json` and return its document."""
    done = run(sys.executable, "-m", "pixi_ship", *words, "--json")
    if done.returncode:
        line = " ".join(str(word) for word in words)
        pytest.fail(f"pixi-ship {line}: status {done.returncode}\n{done.stdout}{done.stderr}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def build_numpy(cache: Path, *options: str) -> dict[str, Any]:
    place = ["-w", str(WORKSPACES / "numpy"), "--cache-dir", str(cache)]
    return ship("build", *place, *options)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all workers of a test run."""
    root = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        root = root.parent
    folder = root / "contract"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def build(shared: Path) -> Callable[[str], Built]:
    """Build the numpy workspace with a compression, once in a test run."""

    def built(compression: str) -> Built:
        folder = shared / compression
        folder.mkdir(exist_ok=True)
        marker, failed = folder / "report.json", folder / "failed"
        # Two workers may ask at once; the second waits and reads what the first has built.
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if failed.exists():
                pytest.fail(failed.read_text())
            if not marker.exists():
                failed.write_text(f"the {compression} image was not built; see the first failure")
                targets = [word for ref in references(folder).values() for word in ("--to", ref)]
                options = ["--base", BASE, "--compression", compression, *targets]
                marker.write_text(json.dumps(build_numpy(shared / "cache", *options)))
                failed.unlink()
            return Built(folder, compression, json.loads(marker.read_text()))

    return built


@pytest.fixture(scope="session", autouse=True)
def ready() -> None:
    """The contract is judged on the test channel and the base image that `make setup` makes."""
    missing = [path for path in (WORKSPACES, DATA / "base" / "index.json") if not path.exists()]
    if missing:
        message = f"not made yet: {missing[0]} (make setup makes it)"
        if IN_CI:
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="session")
def gzip_image(build: Callable[[str], Built]) -> Built:
    return build("gzip")


@pytest.fixture(scope="session", params=["gzip", "zstd"])
def image(request: pytest.FixtureRequest, build: Callable[[str], Built]) -> Built:
    return build(request.param)


@pytest.fixture(scope="session")
def podman() -> Iterator[Podman]:
    need("podman")
    # Podman takes no longer run root than 50 characters, which pytest's folders exceed.
    with TemporaryDirectory(prefix="ship-") as folder:
        found = working_podman(Path(folder), f"docker-archive:{DATA / 'base.docker.tar'}")
        yield found
        found.forget()


@pytest.fixture
def plain_layout(tmp_path: Path) -> Callable[[str], Path]:
    """An image in any form as an OCI layout, the only form that umoci reads."""

    def converted(reference: str) -> Path:
        need("skopeo")
        layout = tmp_path / "converted"
        skopeo("copy", "--quiet", reference, f"oci:{layout}:{TAG}")
        return layout

    return converted
