"""What tests share: the test channel, made on first use, and real files where they are at hand."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import pytest
from rattler import RepoDataRecord

from .channel.build import ensure
from .channel.records import ChannelRecords
from .channel.wheels import Wheel, wheelhouse

REPOSITORY = Path(__file__).parents[1]
SHARED = REPOSITORY.parent / "shared"


@dataclass(frozen=True)
class TestData:
    """Where the test channel, its wheels and its locked workspaces are."""

    __test__: ClassVar[bool] = False
    root: Path

    @property
    def channel(self) -> Path:
        return self.root / "channel"

    @property
    def wheelhouse(self) -> Path:
        return self.root / "wheelhouse"

    @property
    def workspaces(self) -> Path:
        return self.root / "workspaces"

    def workspace(self, name: str) -> Path:
        """The directory of a locked workspace."""
        return _existing(self.workspaces / name)

    def package(self, name: str) -> list[Path]:
        """The archives of a package, in order of version."""
        records = sorted(
            (r for r in self._all.records if r.name.normalized == name),
            key=lambda r: (r.version, r.build_number),
        )
        return [_existing(self.channel / r.subdir / r.file_name) for r in records]

    def records(self, *specs: str) -> list[RepoDataRecord]:
        """The newest match of every spec ("python", "greet 1.0") and all it depends on."""
        return self._all.choose(*specs)

    def wheel(self, name: str) -> Wheel:
        """A wheel of the wheelhouse with its metadata and hash."""
        return self._wheels[name]

    @cached_property
    def _all(self) -> ChannelRecords:
        return ChannelRecords(self.channel)

    @cached_property
    def _wheels(self) -> dict[str, Wheel]:
        return wheelhouse(self.wheelhouse)


@pytest.fixture(scope="session")
def channel_data() -> TestData:
    """The test channel: `$PIXI_SHIP_TEST_DATA` or `.test-data/channel`, built when out of date."""
    place = os.environ.get("PIXI_SHIP_TEST_DATA")
    return TestData(ensure(Path(place) if place else REPOSITORY / ".test-data" / "channel"))


@pytest.fixture(scope="session")
def large_channel_data(channel_data: TestData) -> TestData:
    """The same with `torch`, `scipy` and `pandas` as big conda packages; minutes to build."""
    root = channel_data.root
    return TestData(ensure(root.with_name(root.name + "-large"), beyond=True))


@pytest.fixture(scope="session")
def shared_packages() -> list[Path]:
    """Real conda packages and wheels from Pixi's and rattler's own tests."""
    folder = _shared("packages")
    return sorted(path for path in folder.rglob("*") if path.suffix in (".conda", ".bz2", ".whl"))


@pytest.fixture(scope="session")
def shared_corpus() -> list[Path]:
    """Directories of real Pixi workspaces."""
    return sorted(path for path in _shared("corpus").iterdir() if path.is_dir())


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"../shared is not here: no {name} to test with")
    return folder


def _existing(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"the test channel has no {path.name}: {path}")
    return path
