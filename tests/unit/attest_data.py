"""Selections, packages and bills for the tests of statements about images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pixi_ship.attest.bill import Bill, bill_of_materials
from pixi_ship.attest.component import components
from pixi_ship.attest.depends import depends_on
from pixi_ship.attest.provenance import Parameters
from pixi_ship.attest.subject import Base, Subject
from pixi_ship.digest import Digest
from pixi_ship.lock.model import (
    CondaPackage,
    LockedEnvironment,
    LockedPackage,
    LockedPlatform,
    PypiPackage,
)
from pixi_ship.lock.parse import LockFile, choose
from pixi_ship.oci.reference import Reference, Transport
from pixi_ship.platform import platform_of
from pixi_ship.selection import Selection
from pixi_ship.workspace import Workspace, find_workspace

CREATED = "2026-01-31T12:00:00Z"
VERSION = "1.2.3"
BASE = Base(
    Reference(Transport.DOCKER, "registry.test/library/debian", "12"), Digest.of(b"the base")
)
SUBJECT = Subject("tide", Digest.of(b"the image"), BASE)
PARAMETERS = Parameters(compression="gzip", max_layers=64, bytecode=True)


def conda(name: str, *depends: str, **changes: object) -> CondaPackage:
    """A conda package of the lock; ``license``, ``purls`` and ``channel`` go into its record."""
    record: dict[str, object] = {
        key: changes.pop(key) for key in ("license", "purls", "channel") if key in changes
    }
    record.setdefault("channel", "https://conda.anaconda.org/conda-forge/")
    version = str(changes.pop("version", "1.0"))
    file_name = str(changes.pop("file_name", f"{name}-{version}-h0_0.conda"))
    location = changes.pop("location", f"{record['channel']}linux-64/{file_name}")
    assert not changes, changes
    return CondaPackage(
        name=name,
        version=version,
        build="h0_0",
        subdir="linux-64",
        location=str(location),
        file_name=file_name,
        size=1,
        sha256=Digest.of(name.encode()).hex,
        md5="0" * 32,
        depends=depends,
        constrains=(),
        site_packages_path=None,
        metadata=record,
    )


def wheel(name: str, version: str = "1.0", location: str | None = None) -> PypiPackage:
    """A wheel of the lock, from PyPI unless told otherwise."""
    file_name = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    return PypiPackage(
        name=name,
        version=version,
        location=location or f"https://files.invalid/packages/aa/bb/{'c' * 60}/{file_name}",
        file_name=file_name,
        sha256=Digest.of(name.encode()).hex,
    )


def selection_of(*packages: LockedPackage, subdir: str = "linux-64") -> Selection:
    """A selection of these packages, without a lock on disk."""
    environment = LockedEnvironment(
        name="default",
        platform=LockedPlatform(subdir, subdir),
        channels=(),
        conda=tuple(each for each in packages if isinstance(each, CondaPackage)),
        pypi=tuple(each for each in packages if isinstance(each, PypiPackage)),
        sources=(),
        unbuildable=(),
    )
    manifest = Path("nowhere/pixi.toml")
    return _selection(Workspace(manifest.parent, manifest, {}, {}), environment, Digest.of(b""))


def selected(
    directory: Path, environment: str = "default", platform: str = "linux-64"
) -> Selection:
    """An environment of a workspace on disk."""
    workspace = find_workspace(directory, search_upward=False)
    locked = choose(LockFile(workspace.lock), environment, platform)
    return _selection(workspace, locked, Digest.of(workspace.lock.read_bytes()))


def environments(directory: Path) -> list[Selection]:
    """Every environment of a workspace on disk, on every platform."""
    lock = LockFile(directory / "pixi.lock")
    return [
        selected(directory, name, platform.name)
        for name in lock.environment_names
        for platform in lock.platforms(name)
    ]


def _selection(workspace: Workspace, locked: LockedEnvironment, lock_digest: Digest) -> Selection:
    return Selection(
        workspace=workspace,
        lock_digest=lock_digest,
        environment=locked,
        platform=platform_of(locked.platform.subdir),
        prefix=f"/app/.pixi/envs/{locked.name}",
        python=None,
        interpreter=None,
        cuda=None,
        cuda_requirements=(),
        glibc_requirements=(),
        activation_env={},
    )


def bill_of(selection: Selection, subject: Subject = SUBJECT) -> Bill:
    """The bill of an environment of a workspace on disk, or of conda packages alone."""
    return bill_of_materials(selection, subject, CREATED, VERSION)


def edges_by_name(
    packages: tuple[LockedPackage, ...],
    requires: Mapping[str, tuple[str, ...]] | None = None,
    *,
    subdir: str = "linux-64",
    python: str | None = "3.12.4",
) -> dict[str, list[str]]:
    """Kind and name of each package → those of the packages it needs."""
    found = components(selection_of(*packages), requires)
    names = {each.ref: f"{each.kind}:{each.name}" for each in found}
    edges = depends_on(found, platform_of(subdir), python)
    return {names[ref]: [names[each] for each in needed] for ref, needed in edges.items()}
