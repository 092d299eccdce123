"""What a site wants of every job: partition, account, attributes, where images are kept.

    [slurm]
    partition = "gpu"
    account = "physics"
    launcher = "apptainer"
    images = "/scratch/$USER/images"
    shared = true
    modules = ["apptainer/1.4"]

    [htcondor]
    requirements = ["HasSingularity"]
    attributes = { ProjectName = '"fit"' }

Files of user, workspace and command line lie over one another, table by table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import tomli

from pixi_ship.errors import UsageError

PROFILE = "pixi-ship-site.toml"
"""The profile of a directory that jobs are submitted from."""

OWN_IMAGES = "${TMPDIR:-/tmp}/pixi-ship-images-$(id -u)"
"""Where images of a user are, unless the site names a directory."""

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


class Launcher(StrEnum):
    """What starts the container in a Slurm job."""

    APPTAINER = "apptainer"
    PYXIS = "pyxis"
    PODMAN = "podman"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A site's profile.

    images: directory on each node's own disk for images; keep_layers: keep layers there too,
    beside the files that Apptainer makes of them, so that the next version needs few others.
    scratch: the directory for jobs, where nodes do not see the one that they are submitted from
    (shared). ``sh`` expands variables in images and scratch. lines: of shell, before the
    command. options: further ones of sbatch, by name. attributes and commands: of a submit
    file. common_image: the pool keeps the image of a job for the next (HTCondor 25).
    """

    partition: str | None = None
    account: str | None = None
    constraint: str | None = None
    qos: str | None = None
    launcher: Launcher = Launcher.APPTAINER
    images: str = OWN_IMAGES
    keep_layers: bool = True
    shared: bool = True
    scratch: str = "${TMPDIR:-/tmp}"
    modules: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    requirements: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, str] = field(default_factory=dict)
    common_image: bool = False


def usual_profiles(environment: Mapping[str, str], home: Path, directory: Path) -> list[Path]:
    """The profiles of machine, user and directory that are there, the widest first."""
    config = environment.get("XDG_CONFIG_HOME")
    own = (Path(config) if config else home / ".config") / "pixi-ship" / "site.toml"
    usual = (Path("/etc/pixi-ship/site.toml"), own, directory / PROFILE)
    return [path for path in usual if path.is_file()]


def read_site(paths: Sequence[Path]) -> Site:
    """Read profiles, each over the ones before; raises UsageError for what is not known."""
    slurm: dict[str, object] = {}
    htcondor: dict[str, object] = {}
    for path in paths:
        document = _document(path)
        for name, table in document.items():
            if name not in ("slurm", "htcondor") or not isinstance(table, dict):
                raise UsageError(
                    f"{path}: {name!r} is nothing of a site", hint="want [slurm] and [htcondor]"
                )
            (slurm if name == "slurm" else htcondor).update(table)
    return _site(slurm, htcondor, ", ".join(map(str, paths)))


def _document(path: Path) -> Mapping[str, object]:
    try:
        return tomli.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"reading site profile {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"reading site profile {path}: {error}") from error


_SLURM = {
    **dict.fromkeys(("partition", "account", "constraint", "qos"), "string"),
    **dict.fromkeys(("launcher", "images", "scratch"), "string"),
    **dict.fromkeys(("modules", "lines"), "list"),
    **dict.fromkeys(("keep-layers", "shared"), "boolean"),
    "options": "table",
}
_HTCONDOR = {
    "requirements": "list",
    "attributes": "table",
    "commands": "table",
    "common-image": "boolean",
}


def _site(slurm: Mapping[str, object], htcondor: Mapping[str, object], where: str) -> Site:
    values: dict[str, object] = {}
    for title, table, known in (("slurm", slurm, _SLURM), ("htcondor", htcondor, _HTCONDOR)):
        for key, value in table.items():
            if key not in known:
                raise UsageError(
                    f"{where}: [{title}] has no {key!r}", hint=f"it has {', '.join(known)}"
                )
            values[key.replace("-", "_")] = _checked(value, known[key], f"{where}: {key}")
    if "launcher" in values:
        try:
            values["launcher"] = Launcher(str(values["launcher"]))
        except ValueError:
            raise UsageError(
                f"{where}: launcher {values['launcher']!r} is not known",
                hint=f"want one of {', '.join(Launcher)}",
            ) from None
    return Site(**values)  # type: ignore[arg-type]


def _checked(value: object, kind: str, where: str) -> object:
    if kind == "string" and isinstance(value, str):
        return _line(value, where)
    if kind == "boolean" and isinstance(value, bool):
        return value
    if kind == "list" and isinstance(value, list):
        return tuple(_line(str(each), where) for each in value)
    if kind == "table" and isinstance(value, dict):
        for name in value:
            if not _WORD.match(str(name).replace("-", "_")):
                raise UsageError(f"{where}: {name!r} cannot be a name")
        return {str(name): _line(_text(each), where) for name, each in value.items()}
    raise UsageError(f"{where} is {value!r}, want a {kind}")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _line(text: str, where: str) -> str:
    if "\n" in text or "\0" in text:
        raise UsageError(f"{where} has a line break")
    return text
