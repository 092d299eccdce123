"""What podman and Docker have in common: the words of ``run``, and of bringing an image in.

Source: ``podman-run(1)``, Docker's reference of ``docker container run``. For what HTCondor
does with Docker: ``docker-api.cpp`` of its starter.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pixi_ship.errors import UsageError
from pixi_ship.runtime.image import RunnableImage
from pixi_ship.runtime.invocation import Invocation
from pixi_ship.runtime.spec import Bind, Like, RunSpec, Variable


def run_words(
    program: str, image: RunnableImage, spec: RunSpec, own: Sequence[str], gpus: Sequence[str]
) -> Invocation:
    """``PROGRAM run`` of an image; own: words of this engine alone. Raises UsageError."""
    words = [program, "run", "--rm", "--interactive", *(["--tty"] if spec.caller.terminal else [])]
    words += [*own, *(gpus if spec.gpus else ())]
    words += [
        word for each in spec.mounts(*spec.node_directories) for word in ("--volume", _volume(each))
    ]
    words += ["--workdir", spec.directory]
    if spec.like is Like.SLURM:
        # Apptainer's root is read-only, its network the node's, and it runs no entrypoint.
        words += ["--read-only", "--network", "host", "--entrypoint", ""]
    words += [word for each in _variables(image, spec) for word in ("--env", _env(each))]
    return Invocation((*words, *spec.options, image.place, *spec.command))


def _variables(image: RunnableImage, spec: RunSpec) -> tuple[Variable, ...]:
    home = Variable("HOME", spec.caller.home)
    before: dict[Like | None, tuple[Variable, ...]] = {
        None: (),
        # The starter sets HOME to what the node's passwd says, which no image has.
        Like.HTCONDOR: (home, *spec.scratch()),
        Like.SLURM: (*spec.leaking(image.variables.keys()), home),
    }
    every = (*before[spec.like], *spec.variables)
    return tuple({each.name: each for each in every}.values())


def _env(variable: Variable) -> str:
    # By name alone the engine takes the value from its own environment: nobody sees it in ps.
    return variable.name if variable.inherited else f"{variable.name}={variable.value}"


def _volume(bind: Bind) -> str:
    for path in (bind.source, bind.target):
        if ":" in path:
            raise UsageError(
                f"binding {path!r}: podman and Docker take no path with a colon",
                hint="choose another directory, or --runtime bubblewrap",
            )
    return f"{bind.source}:{bind.target}{':ro' if bind.read_only else ''}"


def own_ids(spec: RunSpec) -> list[str]:
    """``--user`` with the caller's ids, under which batch systems run jobs."""
    return ["--user", f"{spec.caller.uid}:{spec.caller.gid}"]


def is_loaded(program: str, name: str) -> Invocation:
    """Asks whether the engine's store has an image: it ends with 0 if so."""
    return Invocation((program, "image", "inspect", "--format", "{{.Id}}", name))


def load(program: str, archive: Path) -> Invocation:
    """Brings the image of a docker archive into the engine's store, under its name there."""
    return Invocation((program, "load", "--quiet", "--input", str(archive)))
