"""Find and read a Pixi workspace: ``pixi.toml``, or ``pyproject.toml`` with ``[tool.pixi]``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import tomli

from pixi_ship.errors import UsageError, WorkspaceError

MAX_MANIFEST = 16 << 20  # bytes
_TOOL_KEYS = frozenset(
    {
        *("base", "compression", "cuda", "environment", "max-layers", "platform"),
        *("include", "squashfs-compression", "task"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PypiOptions:
    """``[pypi-options]``: where PyPI packages come from, and how their sources are built.

    find_links: URLs, or paths relative to the workspace. not_isolated: names of packages that
    are built with the environment's own packages at hand; None for all.
    """

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    not_isolated: frozenset[str] | None = frozenset()


@dataclass(frozen=True)
class Workspace:
    """A workspace's manifest, as the table that Pixi reads.

    root: its directory. manifest: the file. table: ``[tool.pixi]`` or the whole ``pixi.toml``.
    """

    root: Path
    manifest: Path
    table: Mapping[str, object]
    defaults: Mapping[str, object]

    @property
    def lock(self) -> Path:
        """Where Pixi keeps the lock."""
        return self.root / "pixi.lock"

    @property
    def name(self) -> str:
        """The workspace's name; its directory's where it has none."""
        project = _table(self.table, "workspace") or _table(self.table, "project")
        name = project.get("name")
        return name if isinstance(name, str) else self.root.name

    @cached_property
    def environments(self) -> Mapping[str, tuple[str, ...]]:
        """Environment → its features, in the order in which the first wins."""
        found: dict[str, tuple[str, ...]] = {"default": ("default",)}
        for name, value in _table(self.table, "environments").items():
            features: Sequence[object] = ()
            with_default = True
            if isinstance(value, list):
                features = value
            elif isinstance(value, Mapping):
                listed = value.get("features", ())
                features = listed if isinstance(listed, list) else ()
                with_default = not value.get("no-default-feature", False)
            words = tuple(str(each) for each in features)
            found[name] = (*words, "default") if with_default else words
        return found

    def features(self, environment: str) -> tuple[Mapping[str, object], ...]:
        """The tables of an environment's features; the default feature is the top table."""
        tables = []
        for name in self.environments.get(environment, ("default",)):
            feature = _table(_table(self.table, "feature"), name)
            if name == "default":
                tables.append(self.table)
                if feature:
                    tables.append(feature)
            else:
                tables.append(feature)
        return tuple(tables)

    def cuda_versions(self, environment: str, platform: str) -> tuple[str, ...]:
        """The CUDA versions that the manifest asks for, in ``[system-requirements]`` or platforms.

        platform: the name of the platform in the manifest.
        """
        found = [
            value
            for feature in self.features(environment)
            for value in _cuda(_table(feature, "system-requirements").get("cuda"))
        ]
        for row in self._platform_rows():
            if row.get("name", row.get("platform")) == platform:
                found.extend(_cuda(row.get("cuda")))
        return tuple(dict.fromkeys(found))

    def glibc_versions(self, environment: str) -> tuple[str, ...]:
        """The glibc versions that ``[system-requirements]`` asks for."""
        found = []
        for feature in self.features(environment):
            libc = _table(feature, "system-requirements").get("libc")
            if isinstance(libc, Mapping) and libc.get("family", "glibc") == "glibc":
                found.append(str(libc.get("version", "")))
            elif isinstance(libc, (str, int, float)):
                found.append(str(libc))
        return tuple(version for version in found if version)

    def activation_env(self, environment: str, targets: Sequence[str]) -> Mapping[str, str]:
        """``[activation.env]`` of an environment; the first feature to name a variable wins.

        targets: the selectors that hold on the platform, the narrowest first.
        """
        found: dict[str, str] = {}
        for table in self._activations(environment, targets):
            for name, value in _table(table, "env").items():
                found.setdefault(name, str(value))
        return found

    def activation_scripts(self, environment: str, targets: Sequence[str]) -> tuple[str, ...]:
        """``[activation] scripts`` of an environment, in the order in which Pixi runs them.

        Of each feature those of the narrowest target that names any, even none (Pixi:
        ``Feature::activation_scripts``); ``targets`` as for :meth:`activation_env`.
        """
        found: list[str] = []
        for feature in self.features(environment):
            for table in self._activations_of(feature, targets):
                if isinstance(scripts := table.get("scripts"), list):
                    found.extend(str(each) for each in scripts)
                    break
        return tuple(found)

    def pypi_options(self, environment: str) -> PypiOptions:
        """``[pypi-options]`` of an environment: its features' and the workspace's own, joined."""
        project = _table(self.table, "workspace") or _table(self.table, "project")
        tables = [_table(each, "pypi-options") for each in self.features(environment)]
        tables.append(_table(project, "pypi-options"))
        indexes = [each["index-url"] for each in tables if "index-url" in each]
        isolation = [each.get("no-build-isolation", False) for each in tables]
        return PypiOptions(
            index_url=str(indexes[0]) if indexes else None,
            extra_index_urls=_listed(each.get("extra-index-urls") for each in tables),
            find_links=_listed(
                [row.get("path", row.get("url")) for row in rows if isinstance(row, Mapping)]
                for rows in (each.get("find-links") for each in tables)
                if isinstance(rows, list)
            ),
            not_isolated=None if True in isolation else frozenset(_listed(isolation)),
        )

    def dependency_names(self, environment: str, targets: Sequence[str]) -> Iterator[str]:
        """Names of the conda dependencies an environment asks for on a platform.

        targets: the selectors that hold there, such as ``unix``, ``linux``, ``linux-64``.
        """
        for feature in self.features(environment):
            tables = [feature, *(_table(_table(feature, "target"), each) for each in targets)]
            for table in tables:
                for name, spec in _table(table, "dependencies").items():
                    # "when" makes it depend on the machine's virtual packages.
                    if not (isinstance(spec, Mapping) and "when" in spec):
                        yield name

    def _activations(
        self, environment: str, targets: Sequence[str]
    ) -> Iterator[Mapping[str, object]]:
        for feature in self.features(environment):
            yield from self._activations_of(feature, targets)

    @staticmethod
    def _activations_of(
        feature: Mapping[str, object], targets: Sequence[str]
    ) -> Iterator[Mapping[str, object]]:
        for target in targets:
            yield _table(_table(_table(feature, "target"), target), "activation")
        yield _table(feature, "activation")

    def platform_name(self, name: str, subdir: str, virtual_packages: Sequence[str]) -> str:
        """What the manifest calls a locked platform: locks name some of them ``p1``, ``p2``.

        A row of another name is meant if it is for the same subdir and asks for the same CUDA.
        """
        rows = list(self._platform_rows())
        if any(row.get("name", row.get("platform")) == name for row in rows):
            return name
        cuda = {
            each.partition("=")[2].partition("=")[0]
            for each in virtual_packages
            if each.partition("=")[0] == "__cuda"
        }
        alike = [
            str(row["name"])
            for row in rows
            if row.get("platform") == subdir
            and "name" in row
            and set(_cuda(row.get("cuda"))) == cuda
        ]
        return alike[0] if len(alike) == 1 else name

    def _platform_rows(self) -> Iterator[Mapping[str, object]]:
        project = _table(self.table, "workspace") or _table(self.table, "project")
        rows = project.get("platforms", ())
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, Mapping):
                yield row


def find_workspace(start: Path, *, search_upward: bool) -> Workspace:
    """Open the workspace in ``start``, or the nearest one above it; raises WorkspaceError.

    start: a directory, or a manifest itself.
    """
    if start.is_file():
        return read_workspace(start)
    if not start.is_dir():
        raise UsageError(f"there is no directory {start}")
    directories = (start, *start.resolve().parents) if search_upward else (start,)
    for directory in directories:
        for name in ("pixi.toml", "pyproject.toml"):
            path = directory / name
            if path.is_file() and (name == "pixi.toml" or _has_pixi(path)):
                return read_workspace(path)
    where = f"in {start}" + (" or above it" if search_upward else "")
    raise WorkspaceError(
        f"there is no Pixi workspace {where}",
        hint="a workspace has a pixi.toml, or a pyproject.toml with [tool.pixi]; name it with -w",
    )


def read_workspace(manifest: Path) -> Workspace:
    """Read a manifest; raises WorkspaceError that names file and line."""
    document = _toml(manifest)
    if manifest.name == "pyproject.toml":
        table = _table(_table(document, "tool"), "pixi")
        if not table:
            raise WorkspaceError(f"reading {manifest}: it has no table [tool.pixi]")
        project = _table(document, "project")
        workspace = dict(_table(table, "workspace") or _table(table, "project"))
        workspace.setdefault("name", project.get("name"))
        table = {**table, "workspace": workspace}
    else:
        table = document
    if not ({"workspace", "project", "package"} & table.keys()):
        raise WorkspaceError(f"reading {manifest}: it has no table [workspace]")
    defaults = _table(_table(document, "tool"), "pixi-ship")
    if unknown := sorted(defaults.keys() - _TOOL_KEYS):
        raise WorkspaceError(
            f"reading {manifest}: [tool.pixi-ship] has no key {unknown[0]!r}",
            hint=f"known keys: {', '.join(sorted(_TOOL_KEYS))}",
        )
    return Workspace(manifest.parent, manifest, table, defaults)


def _has_pixi(path: Path) -> bool:
    return bool(_table(_table(_toml(path), "tool"), "pixi"))


def _toml(path: Path) -> Mapping[str, object]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_MANIFEST + 1)
    except OSError as error:
        raise WorkspaceError(f"reading {path}: {error.strerror}") from error
    if len(text) > MAX_MANIFEST:
        raise WorkspaceError(f"reading {path}: more than {MAX_MANIFEST >> 20} MiB is no manifest")
    try:
        return tomli.loads(text.decode("utf-8-sig"))
    except (tomli.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WorkspaceError(f"reading {path}: it is not TOML: {error}") from error


def _listed(values: Iterable[object]) -> tuple[str, ...]:
    """The texts of all values that are lists, each once."""
    rows = (row for value in values if isinstance(value, list) for row in value)
    return tuple(dict.fromkeys(row for row in rows if isinstance(row, str)))


def _table(table: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = table.get(name)
    return value if isinstance(value, Mapping) else {}


def _cuda(value: object) -> Iterator[str]:
    """A version, or ``{driver, arch}`` of a rich platform, whose driver is the ``__cuda``."""
    if isinstance(value, Mapping):
        value = value.get("driver")
    if value is not None and not isinstance(value, bool):
        yield str(value)
