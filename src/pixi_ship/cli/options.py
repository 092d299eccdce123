"""Options that verbs share, put over the manifest, the surroundings and the defaults."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import click

from pixi_ship.cache import Cache, usual_directory
from pixi_ship.cli.injection_options import InjectionOptions, injection_options
from pixi_ship.cli.machine import machine_here
from pixi_ship.cli.option_group import option_group
from pixi_ship.cli.project_options import ProjectOptions, includes_of, project_options, task_of
from pixi_ship.cli.registry_options import (
    RegistryOptions,
    registry_options,
    registry_settings,
)
from pixi_ship.cli.sandbox_options import SandboxOptions, sandbox_options
from pixi_ship.errors import UsageError
from pixi_ship.layer.compress import Compression
from pixi_ship.layer.split import MAX_LAYERS
from pixi_ship.machine import Machine
from pixi_ship.oci.reference import Reference, Transport, parse_reference
from pixi_ship.platform import platform_of_machine
from pixi_ship.registry.patience import Patience
from pixi_ship.registry.registries import Registries
from pixi_ship.selection import BaseLocking, Options
from pixi_ship.squashfs.format import SquashfsCompression
from pixi_ship.workspace import Workspace, find_workspace

DEFAULT_BASE = "docker://ghcr.io/prefix-dev/pixi:noble"
DEFAULT_PLATFORM = "linux-64"
_EPOCH = 315532800  # 1980-01-01, what every file in an image carries

K = TypeVar("K", bound=StrEnum)

workspace_option = click.option(
    "-w",
    "--workspace",
    type=click.Path(path_type=Path),
    help="Directory or manifest of the workspace.  [default: the nearest upward]",
)

# Which environment, and how registries are spoken to.
environment_options = option_group(
    registry_options,
    workspace_option,
    click.option("-e", "--environment", help="Environment to ship.  [default: default]"),
    click.option(
        "--platform",
        "platforms",
        multiple=True,
        help="Name of a locked platform. Repeated, it gives one image for each, under one "
        f"name.  [default: {DEFAULT_PLATFORM}]",
    ),
    click.option(
        "--cuda",
        metavar="VERSION",
        help="CUDA version that the nodes' driver offers; also CONDA_OVERRIDE_CUDA.",
    ),
    click.option(
        "--base", metavar="REF", help=f"Image to build on, or 'scratch'.  [default: {DEFAULT_BASE}]"
    ),
    click.option(
        "--cache-dir",
        type=click.Path(path_type=Path),
        help="Where archives and layers are kept; also PIXI_SHIP_CACHE_DIR.",
    ),
    click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout."),
)

squashfs_option = click.option(
    "--squashfs-compression",
    type=click.Choice([each.value for each in SquashfsCompression]),
    help="How a SIF is compressed; every Apptainer reads gzip.  [default: gzip]",
)

# What to build as well.
shared_options = option_group(
    environment_options,
    click.option(
        "--base-lock/--no-base-lock",
        default=None,
        help="Keep the digest of a base in a registry in pixi-ship.lock, beside pixi.lock; or "
        "do not heed what is there.  [default: heed]",
    ),
    click.option(
        "--update-base", is_flag=True, help="Look up the base's tag anew, and keep its digest."
    ),
    click.option(
        "--compression",
        type=click.Choice([each.value for each in Compression]),
        help="How layers are compressed; every runtime reads gzip.  [default: gzip]",
    ),
    squashfs_option,
    click.option(
        "--max-layers",
        type=click.IntRange(2, 126),
        help=f"Layers to add to the base at most.  [default: {MAX_LAYERS}]",
    ),
    click.option(
        "--compile/--no-compile",
        "compile_bytecode",
        default=True,
        help="Ship bytecode for all Python code, if a Python of that version is at hand.",
    ),
    project_options,
    injection_options,
    sandbox_options,
)


@dataclass(frozen=True, slots=True)
class Request:
    """A verb's arguments, resolved against manifest and surroundings."""

    workspace: Workspace
    options: Options
    cache: Cache
    machine: Machine
    registries: Registries


class EnvironmentOptions(RegistryOptions):
    """The values of :data:`environment_options`, by parameter name; None where not given."""

    workspace: Path | None
    environment: str | None
    platforms: tuple[str, ...]
    cuda: str | None
    base: str | None
    cache_dir: Path | None


class SharedOptions(EnvironmentOptions, ProjectOptions, InjectionOptions, SandboxOptions):
    """The values of :data:`shared_options`."""

    base_lock: bool | None
    update_base: bool
    compression: str | None
    squashfs_compression: str | None
    max_layers: int | None
    compile_bytecode: bool


def not_building(
    given: EnvironmentOptions, inject: tuple[Path, ...] = (), from_prefix: Path | None = None
) -> SharedOptions:
    """The options of a verb that builds nothing, for :func:`resolve`."""
    return SharedOptions(
        **given,
        base_lock=None,
        update_base=False,
        compression=None,
        squashfs_compression=None,
        max_layers=None,
        includes=(),
        task=None,
        inject=inject,
        from_prefix=from_prefix,
        build_network=False,
        no_sandbox=False,
        run_link_scripts=(),
        compile_bytecode=True,
    )


def resolve(
    given: SharedOptions,
    *,
    patience: Patience | None = None,
    to: tuple[str, ...] = (),
    cache_from: tuple[str, ...] = (),
    offline: bool = False,
    workers: int | None = None,
) -> Request:
    """Put the command line over ``[tool.pixi-ship]`` over the defaults."""
    workspace = workspace_at(given["workspace"])
    options = replace(
        _options(given, workspace),
        cache_from=tuple(_in_registry(each) for each in cache_from),
        to=tuple(parse_reference(each) for each in to),
        offline=offline,
        workers=workers or cores(),
    )
    cache = Cache(cache_directory(given["cache_dir"]))
    settings = registry_settings(given, offline=offline, patience=patience)
    return Request(
        workspace,
        options,
        cache,
        machine_here(confined=not given["no_sandbox"]),
        Registries(settings, cache),
    )


def _options(given: SharedOptions, workspace: Workspace) -> Options:
    """What the options of all verbs and the manifest say."""
    defaults = workspace.defaults

    def default(name: str, fallback: str) -> str:
        return str(defaults.get(name, fallback))

    return Options(
        environment=given["environment"] or default("environment", "default"),
        platforms=platforms_of(given["platforms"], workspace),
        cuda=cuda_of(given["cuda"], workspace),
        base=base_of(given["base"], workspace),
        base_lock=_base_lock(given["base_lock"], given["update_base"]),
        compression=_one_of(
            Compression, "compression", given["compression"] or default("compression", "gzip")
        ),
        squashfs=_one_of(
            SquashfsCompression,
            "squashfs-compression",
            given["squashfs_compression"] or default("squashfs-compression", "gzip"),
        ),
        max_layers=given["max_layers"]
        or _integer("max-layers", default("max-layers", str(MAX_LAYERS))),
        compile_bytecode=given["compile_bytecode"],
        build_network=given["build_network"],
        includes=includes_of(given, defaults),
        task=task_of(given, defaults),
        inject=given["inject"],
        from_prefix=given["from_prefix"],
        run_link_scripts=tuple(dict.fromkeys(given["run_link_scripts"])),
        created=_created(os.environ.get("SOURCE_DATE_EPOCH")),
    )


def workspace_at(given: Path | None) -> Workspace:
    """The workspace of a directory or manifest, else the nearest upward."""
    return find_workspace(given or Path(), search_upward=given is None)


def cuda_of(given: str | None, workspace: Workspace) -> str | None:
    """The CUDA version: of the command line, the surroundings, the manifest."""
    here = os.environ.get("CONDA_OVERRIDE_CUDA")
    return given or here or str(workspace.defaults.get("cuda", "")) or None


def platforms_of(given: tuple[str, ...], workspace: Workspace) -> tuple[str, ...]:
    """The platforms to ship for, each once; the manifest may name one or a list."""
    written = workspace.defaults.get("platform", DEFAULT_PLATFORM)
    listed = written if isinstance(written, list) else [written]
    if not given and not listed:
        raise UsageError(
            f"{workspace.manifest}: platform in [tool.pixi-ship] is an empty list",
            hint="name a platform of the lock, or leave the line out",
        )
    return tuple(dict.fromkeys(given or (str(each) for each in listed)))


def _in_registry(text: str) -> Reference:
    reference = parse_reference(text)
    if reference.transport is not Transport.DOCKER:
        raise UsageError(
            f"--cache-from {text} is in no registry", hint="want docker://HOST/NAME:TAG"
        )
    return reference


def _base_lock(keep: bool | None, update: bool) -> BaseLocking:
    if update:
        if keep is False:
            raise UsageError("--update-base and --no-base-lock contradict each other")
        return BaseLocking.UPDATE
    if keep is None:
        return BaseLocking.HEED
    return BaseLocking.RECORD if keep else BaseLocking.IGNORE


def base_of(given: str | None, workspace: Workspace) -> Reference:
    """A path on the command line starts from here, one in the manifest from there."""
    if given is not None:
        return parse_reference(given)
    written = str(workspace.defaults.get("base", DEFAULT_BASE))
    return parse_reference(written).anchored(workspace.root)


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def cache_directory(given: Path | None) -> Path:
    """Where the cache is: as given, else the usual place."""
    return usual_directory(os.environ, Path.home()) if given is None else given


def _one_of(kind: type[K], name: str, text: str) -> K:
    try:
        return kind(text)
    except ValueError:
        raise UsageError(
            f"{name} {text!r} is not known", hint=f"want one of {', '.join(kind)}"
        ) from None


def platform_here() -> str:
    """The platform of what runs here."""
    return platform_of_machine(os.uname().machine)


def squashfs_warnings(compression: SquashfsCompression) -> list[str]:
    """What to say of a SIF that not every site can mount."""
    if compression is SquashfsCompression.GZIP:
        return []
    return [
        f"the SIF is compressed by {compression}: only nodes whose kernel or squashfuse knows "
        "it can run it, gzip is known by all"
    ]


def _integer(name: str, text: str) -> int:
    if not text.isdigit() or not 2 <= int(text) <= 126:
        raise UsageError(f"{name} is {text!r}, want a number from 2 to 126")
    return int(text)


def _created(epoch: str | None) -> str:
    """RFC 3339, from ``SOURCE_DATE_EPOCH`` (reproducible-builds.org) or the fixed time."""
    if epoch is not None and not epoch.isdigit():
        raise UsageError(f"SOURCE_DATE_EPOCH is {epoch!r}, want seconds since 1970")
    seconds = int(epoch) if epoch else _EPOCH
    try:
        when = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        raise UsageError(f"SOURCE_DATE_EPOCH is {epoch!r}, which is no time") from None
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
