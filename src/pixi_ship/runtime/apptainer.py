"""``apptainer run`` and ``exec``; the same words for Singularity.

Source: Apptainer's user guide, "Bind paths" and "Environment and metadata"; for what HTCondor
asks for, ``singularity.cpp`` of its starter.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

from pixi_ship.errors import UsageError
from pixi_ship.runtime.image import RunnableImage
from pixi_ship.runtime.invocation import Invocation
from pixi_ship.runtime.spec import ALL, Bind, Like, RunSpec, Variable

_UNBINDABLE = ',:"\n\\'  # --bind is read as a row of CSV, then cut at colons


def command_line(program: str, image: RunnableImage, spec: RunSpec) -> Invocation:
    """The words that start a job. Raises UsageError for a path that cannot be bound."""
    words = [program, "run" if spec.runs_entrypoint else "exec", *_surroundings(spec)]
    words += [word for each in spec.mounts() for word in ("--bind", _bind(each))]
    words += ["--pwd", spec.directory, *(["--nv"] if spec.gpus else [])]
    # Variables by prefix and not by --env, which would cut values at commas.
    prefix = PurePosixPath(program).name.upper() + "ENV_"
    variables = tuple(replace(each, name=prefix + each.name) for each in _variables(spec))
    return Invocation((*words, *spec.options, image.place, *spec.command), variables)


def _surroundings(spec: RunSpec) -> list[str]:
    scratch = spec.caller.directory
    return {
        None: ["--contain", "--cleanenv"],
        # With --workdir, /tmp and /var/tmp are directories there and not in memory.
        Like.HTCONDOR: ["--containall", "--cleanenv", "--home", scratch, "--workdir", scratch],
        # What Apptainer does by itself is what jobs under Slurm meet.
        Like.SLURM: [],
    }[spec.like]


def _variables(spec: RunSpec) -> tuple[Variable, ...]:
    first: list[Variable] = []
    if spec.gpus and spec.gpus != ALL:
        # --nv shows every GPU; CUDA looks at these alone.
        numbers = ",".join(map(str, range(int(spec.gpus))))
        first.append(Variable("CUDA_VISIBLE_DEVICES", numbers))
    if spec.like is Like.HTCONDOR:
        first += spec.scratch()
    return tuple({each.name: each for each in (*first, *spec.variables)}.values())


def _bind(bind: Bind) -> str:
    for path in (bind.source, bind.target):
        if found := next((each for each in path if each in _UNBINDABLE), None):
            raise UsageError(
                f"binding {path!r}: Apptainer takes no path with {found!r} in it",
                hint="choose another directory, or another --runtime",
            )
    return f"{bind.source}:{bind.target}{':ro' if bind.read_only else ''}"
