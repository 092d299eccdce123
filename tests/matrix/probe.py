"""What is asked in every runtime, and what counts as an answer.

A shell reads `PROBE`, in whatever way the runtime starts one, and prints what it finds; the checks
judge that outside, so that nothing in the image decides whether it passes.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

PREFIX = "/app/.pixi/envs/default"
FRONT = f"{PREFIX}/share/activ/bin:{PREFIX}/bin:"
"""How PATH begins: what `activ` puts first, then the environment's programs."""

LEAK = "/leak"
"""In every path that the host sets, and nowhere else."""

STRANGER = 12345
"""A uid that neither the image nor this machine knows."""

NESTED = {"PIXI_SHIP_ACTIVE": PREFIX, "ACTIV_COUNT": "99"}
"""What a host hands on whose own shell is in another image of ours."""

Facts = Mapping[str, object]

_PYTHON = r"""import getpass, json, os, pathlib, site, sys, tempfile

def fact(name, find):
    try:
        found = find()
    except BaseException as error:
        found = "%s: %s" % (type(error).__name__, error)
    print("fact", name, json.dumps(found), sep="\t")

def cached():
    above = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    (above / "probe").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=above / "probe") as file:
        return file.write(b"cached")

fact("numpy", lambda: __import__("numpy").__file__)
fact("sum", lambda: float(__import__("numpy").ones((3, 3)).sum()))
fact("user", getpass.getuser)
fact("cached", cached)
fact("temporary", lambda: os.access(tempfile.gettempdir(), os.W_OK))
fact("root is writable", lambda: os.access("/", os.W_OK))
fact("places", lambda: [sys.prefix, sys.base_prefix, *sys.path])
fact("user site", lambda: site.ENABLE_USER_SITE)
"""

PROBE = f"""\
fact() {{ printf 'fact\\t%s\\t"%s"\\n' "$1" "$2"; }}
fact path "$PATH"
fact manifest "${{DEMO_MODE-}}"
fact assigned "${{ACTIV_HOME-}}|${{ACTIV_GREETING-}}|${{ACTIV_MODE-}}"
fact computed "${{ACTIV_COUNT-}}"
fact prefix "${{CONDA_PREFIX-}}"
fact script "$(trinket 2>/dev/null </dev/null)"
python -c '{_PYTHON}' 2>&1 </dev/null
"""


class Circumstance(StrEnum):
    """How a runtime is asked to start the probe."""

    USUAL = "usual"
    """As its default user, by a host whose variables would mislead."""
    NESTED = "nested"
    """The same by a host that is in another image of ours."""
    STRANGER = "stranger"
    """A uid without a name, with a root that cannot be written to."""


@dataclass(frozen=True, slots=True)
class Check:
    """One column of the table."""

    name: str
    circumstance: Circumstance
    holds: Callable[[Facts], bool]
    meaning: str


def facts_of(done: subprocess.CompletedProcess[str]) -> Facts:
    """What a probe printed; other lines are a runtime's, and no matter."""
    found: dict[str, object] = {"status": done.returncode, "complaint": done.stderr[-2000:]}
    for line in done.stdout.splitlines():
        word, _, rest = line.partition("\t")
        name, _, value = rest.partition("\t")
        if word == "fact" and name:
            with suppress(ValueError):
                found[name] = json.loads(value)
    return found


def _works(facts: Facts) -> bool:
    numpy = str(facts.get("numpy"))
    return numpy.startswith(f"{PREFIX}/lib/") and facts.get("sum") == 9.0


def _runs_script(facts: Facts) -> bool:
    return facts.get("script") == f"trinket {PREFIX}"


def _kept_out(facts: Facts) -> bool:
    places = facts.get("places")
    shown = f"{facts.get('path')} {places} {facts.get('prefix')} {facts.get('manifest')}"
    off = facts.get("user site") is False
    return bool(places) and off and LEAK not in shown and _works(facts)


_ASSIGNED = f"{PREFIX}/share/activ|hello, activ|from env_vars.d"

CHECKS = (
    Check(
        "PATH",
        Circumstance.USUAL,
        lambda facts: str(facts.get("path")).startswith(FRONT),
        "`PATH` begins with the environment's directories",
    ),
    Check(
        "manifest",
        Circumstance.USUAL,
        lambda facts: facts.get("manifest") == "batch",
        "a variable of `[activation.env]` is set",
    ),
    Check(
        "assigned",
        Circumstance.USUAL,
        lambda facts: facts.get("assigned") == _ASSIGNED,
        "so is what `env_vars.d` and a script of `activate.d` assign",
    ),
    Check(
        "computed",
        Circumstance.USUAL,
        lambda facts: facts.get("computed") == "3",
        "so is what a script of `activate.d` computes, which takes a shell",
    ),
    Check("import", Circumstance.USUAL, _works, "`import numpy` finds the environment's"),
    Check("script", Circumstance.USUAL, _runs_script, "a console script of a wheel runs"),
    Check(
        "host out",
        Circumstance.USUAL,
        _kept_out,
        "the host's `PATH`, `PYTHONPATH`, `PYTHONHOME`, `CONDA_PREFIX` and a numpy in "
        "`~/.local` do not show",
    ),
    Check(
        "nested",
        Circumstance.NESTED,
        lambda facts: facts.get("computed") in ("3", "") and facts.get("manifest") == "batch",
        "a host that is in another image of ours changes nothing",
    ),
    Check(
        "name",
        Circumstance.STRANGER,
        lambda facts: bool(facts.get("user")) and "Error" not in str(facts.get("user")),
        "`getpass.getuser()` answers for a uid that has no name",
    ),
    Check(
        "home",
        Circumstance.STRANGER,
        lambda facts: facts.get("cached") == len(b"cached"),
        "`~/.cache` can be made and written to by that uid",
    ),
    Check(
        "read-only",
        Circumstance.STRANGER,
        lambda facts: (
            facts.get("root is writable") is False
            and facts.get("temporary") is True
            and _works(facts)
            and _runs_script(facts)
        ),
        "with a root that cannot be written to all of this works, temporary files too",
    ),
)
