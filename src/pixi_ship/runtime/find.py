"""The runtimes there are, and which of them this machine has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pixi_ship.errors import PixiShipError, UsageError
from pixi_ship.runtime import apptainer, bubblewrap, docker, podman
from pixi_ship.runtime.image import RunnableImage
from pixi_ship.runtime.invocation import Invocation
from pixi_ship.runtime.spec import RunSpec


class RuntimeMissing(PixiShipError):
    """No runtime is here that can do what was asked."""


class Form(StrEnum):
    """The form in which a runtime takes images."""

    NAME = "name"  # in its own store, or in a registry
    SIF = "sif"
    ROOT = "root"


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime: the programs it goes by, the form it takes, and how it is told to start a job.

    gpus: whether it can hand GPUs on.
    """

    name: str
    programs: tuple[str, ...]
    form: Form
    command_line: Callable[[str, RunnableImage, RunSpec], Invocation]
    gpus: bool = True

    def lacks(self, *, sif: bool, gpus: bool) -> str | None:
        """Why it cannot run such an image; None where it can."""
        if sif and self.form is Form.NAME:
            return "it takes no SIF"
        if gpus and not self.gpus:
            return "it hands on no GPUs"
        return None


# In the order in which they are looked for.
RUNTIMES = {
    each.name: each
    for each in (
        Runtime("podman", ("podman",), Form.NAME, podman.command_line),
        Runtime("docker", ("docker",), Form.NAME, docker.command_line),
        Runtime("apptainer", ("apptainer", "singularity"), Form.SIF, apptainer.command_line),
        Runtime("bubblewrap", ("bwrap",), Form.ROOT, bubblewrap.command_line, gpus=False),
    )
}
_GET_ONE = (
    "install one: podman or bubblewrap are packages of every distribution, Apptainer is at "
    "apptainer.org; on a cluster try 'module load apptainer'"
)


@dataclass(frozen=True, slots=True)
class FoundRuntime:
    """A runtime of this machine; ``program`` is its path."""

    runtime: Runtime
    program: str


def find_runtime(
    which: Callable[[str], str | None], *, name: str | None, sif: bool, gpus: bool
) -> FoundRuntime:
    """The first runtime here that can do it, or the one that was named.

    which: a program's path, None where there is none. sif: whether the image is a SIF. Raises
    RuntimeMissing, and UsageError for a runtime that was named and cannot do it.
    """
    chosen = [RUNTIMES[name]] if name else list(RUNTIMES.values())
    fit = [each for each in chosen if each.lacks(sif=sif, gpus=gpus) is None]
    if name and not fit:
        others = [x.name for x in RUNTIMES.values() if x.lacks(sif=sif, gpus=gpus) is None]
        raise UsageError(
            f"--runtime {name}: {chosen[0].lacks(sif=sif, gpus=gpus)}",
            hint=f"choose {' or '.join(others)}",
        )
    for runtime in fit:
        for program in runtime.programs:
            if (path := which(program)) is not None:
                return FoundRuntime(runtime, path)
    raise _missing(fit, sif=sif, gpus=gpus)


def _missing(fit: Sequence[Runtime], *, sif: bool, gpus: bool) -> RuntimeMissing:
    programs = ", ".join(program for each in fit for program in each.programs)
    what = f"{' that takes a SIF' if sif else ''}{' and hands on GPUs' if gpus else ''}"
    return RuntimeMissing(
        f"looking for a runtime{what}: PATH has none of {programs}", hint=_GET_ONE
    )
