"""Fixtures with registries; a conftest imports those that its tests use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .certificates import Certificate, make_certificate
from .distribution import DockerRegistry
from .fake import FakeRegistry


@pytest.fixture
def fake_registry() -> Iterator[FakeRegistry]:
    """An empty registry in memory that asks for no authorization."""
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def docker_registry(tmp_path: Path) -> Iterator[DockerRegistry]:
    """An empty docker-registry behind a counting proxy that asks for no authorization."""
    with DockerRegistry(tmp_path / "docker-registry") as registry:
        yield registry


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for 127.0.0.1 and localhost with an authority of its own."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))
