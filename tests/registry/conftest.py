"""The registries that the tests of this folder look at."""

from .fixtures import certificate, docker_registry, fake_registry

__all__ = ["certificate", "docker_registry", "fake_registry"]
