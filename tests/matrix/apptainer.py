"""Apptainer over the SIF that pixi-ship writes, as an ordinary user of a node."""

from __future__ import annotations

from functools import cache

from ..apptainer.runtime import Apptainer
from .probe import PROBE, Circumstance
from .runtime import Done, Missing, Runtime, Start
from .stage import Stage, misleading, spoil

_SHELL = ("sh", "-c", PROBE)


@cache
def apptainer(stage: Stage) -> Apptainer:
    found = Apptainer("ordinary", stage.folder / "a")
    if reason := found.available():
        raise Missing(reason)
    spoil(found.folder / "home")
    return found


def _start(verb: str, *options: str, typed: bool = False, homeless: bool = True) -> Start:
    """A row. typed: the probe is read from standard input. homeless: a stranger has no home."""

    def start(stage: Stage, circumstance: Circumstance) -> Done:
        # Apptainer itself gives every uid its name; what a stranger lacks there is a home.
        lacking = circumstance is Circumstance.STRANGER and homeless
        away = ("--no-mount", "home,cwd") if lacking else ()
        env = {"PATH": "/leak/bin:/usr/sbin:/usr/bin:/sbin:/bin", **misleading(circumstance)}
        return apptainer(stage).run(
            *(verb, *options, *away, stage.sif, *(() if typed else _SHELL)),
            binds=[stage.sif],
            env=env,
            typed=PROBE if typed else "",
        )

    return start


_HTCONDOR = ("--containall", "--cleanenv", "--no-home")
ROWS = (
    Runtime("Apptainer exec", "apptainer exec SIF", "apptainer", _start("exec")),
    Runtime("Apptainer run", "apptainer run SIF", "apptainer", _start("run")),
    Runtime("Apptainer shell", "apptainer shell SIF", "apptainer", _start("shell", typed=True)),
    Runtime(
        "Apptainer, contained",
        "apptainer exec --containall --cleanenv --no-home",
        "apptainer",
        _start("exec", *_HTCONDOR, homeless=False),
    ),
)
