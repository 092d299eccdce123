"""What activating a prefix does: its variables, and the scripts that the job must still run.

``config.Env`` is the only part of an image that every runtime applies, so the *result* of
activation goes there. A script that only assigns variables is read; any other one is run where
that can be done, and is sourced by the entrypoint besides: what it does may depend on the node.

Order as in Pixi (``pixi_core/activation.rs``, ``rattler_shell/activation.rs``): env_vars.d, the
scripts of packages by name, those of the manifest, ``[activation.env]``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pixi_ship.errors import ImageError
from pixi_ship.recipe.assignments import assignments, expanded, exported_names

# What no value may hold: enroot expands ${…} from the host's environment and strips one
# pair of outer quotes, and reads the file line by line (enroot src/common.sh).
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
# What bash keeps for itself: an assignment would end the entrypoint.
_READONLY = frozenset({"BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"})
_UNSAFE = re.compile(r"[$\n\r\0]")
# The pair need not be alike, and blanks may follow it.
_QUOTED = re.compile(r"""["'].*["']\s*\Z""", re.DOTALL)
_CHANGED_ON_THE_WAY = "a runtime would change a value with '$', a newline or outer quotes"


@dataclass(frozen=True, slots=True)
class Script:
    """A script of activation: its path in the image, and as a person knows it."""

    path: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Ran:
    """What running a script told.

    changes: variable → its value afterwards, None where the script took it away. unsteady:
    variables whose values are not the same everywhere. notes: what to say of the script.
    fit: whether the job may run it as well.
    """

    changes: Mapping[str, str | None] = field(default_factory=dict)
    unsteady: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fit: bool = True


@dataclass(frozen=True, slots=True)
class NotRun:
    """Why a script could not be run when the image was made."""

    reason: str


# A script, and all variables that are set before it → what it does.
Runner = Callable[[Script, Mapping[str, str]], Ran | NotRun]


def nothing_runs(script: Script, variables: Mapping[str, str]) -> Ran | NotRun:
    """The :data:`Runner` of who cannot run anything."""
    return NotRun("nothing is run here")


@dataclass(frozen=True, slots=True)
class Activation:
    """The result: variables, and the scripts (paths in the image) that the job runs as well.

    path: the directories that come before the base image's PATH; variables has no PATH.
    unset: variables of the base that are taken away. before: what ``scripts`` change → what it
    was before them, None for nothing. late: variables that are set after the scripts. path_before:
    ``path`` without what ``scripts`` put there. warnings: sentences. evaluated: whether a script
    was run to know this.
    """

    path: tuple[str, ...]
    variables: Mapping[str, str]
    scripts: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    before: Mapping[str, str | None] = field(default_factory=dict)
    late: frozenset[str] = frozenset()
    path_before: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    evaluated: bool = False


def activate(
    prefix: str,
    files: Mapping[str, str],
    known: Mapping[str, str],
    *,
    base_path: str,
    manifest_scripts: Sequence[Script] = (),
    manifest_env: Mapping[str, str],
    run: Runner = nothing_runs,
) -> Activation:
    """Work out the variables of a prefix.

    files: path in the prefix → text, of ``etc/conda/env_vars.d`` and ``activate.d``. known:
    variables that are set before. base_path: the PATH before. manifest_env:
    ``[activation.env]``.
    """
    state = _State(prefix, base_path, known)
    for path in sorted(files):
        if path.startswith("etc/conda/env_vars.d/"):
            state.assign(_env_vars(path, files[path]))
    scripts = [
        Script(f"{prefix}/{path}", path, files[path])
        for path in sorted(files)
        if path.startswith("etc/conda/activate.d/") and path.endswith(".sh")
    ]
    for script in (*scripts, *manifest_scripts):
        state.take(script, run)
    for name, value in manifest_env.items():
        state.take_from_manifest(name, value)
    return state.result()


class _State:
    """The variables while one thing after the other is taken."""

    def __init__(self, prefix: str, base_path: str, known: Mapping[str, str]) -> None:
        self._base_path = base_path
        self._known = {name: value for name, value in known.items() if name != "PATH"}
        self._set: dict[str, str] = {"PATH": f"{prefix}/bin:{base_path}"}
        self._unset: set[str] = set()
        self._unsteady: dict[str, str] = {}  # variable → the script that sets it
        self._scripts: list[str] = []
        self._before: dict[str, str | None] = {}
        self._path_before = self._set["PATH"]
        self._late: set[str] = set()
        self._warnings: list[str] = []
        self._evaluated = False

    @property
    def variables(self) -> dict[str, str]:
        """All that is set by now."""
        found = {**self._known, **self._set}
        return {name: value for name, value in found.items() if name not in self._unset}

    def assign(self, values: Mapping[str, str]) -> None:
        """Set variables to values that are known for sure."""
        self._set.update(values)
        self._unset.difference_update(values)
        for name in values:
            self._unsteady.pop(name, None)
            if self._scripts:
                self._late.add(name)

    def take(self, script: Script, run: Runner) -> None:
        """Read a script, or run it."""
        found = assignments(script.text, self.variables)
        if found is not None and self._keeps_base(found.get("PATH", self._set["PATH"])):
            self.assign(found)
            return
        outcome = run(script, self.variables)
        if isinstance(outcome, NotRun):
            self._leave_to_job(script)
            names = exported_names(script.text)
            exports = f" (exports {', '.join(names)})" if names else ""
            self._warnings.append(
                f"{script.name}{exports} does more than assign: its variables are not in the "
                f"image's, the entrypoint runs it ({outcome.reason})"
            )
            return
        self._evaluated = True
        self._warnings += [f"{script.name} {note}" for note in outcome.notes]
        if outcome.fit:
            self._leave_to_job(script)
        self._change(script, outcome)

    def _leave_to_job(self, script: Script) -> None:
        if not self._scripts:
            self._path_before = self._set["PATH"]
        self._scripts.append(script.path)

    def _change(self, script: Script, outcome: Ran) -> None:
        changes = dict(outcome.changes)
        path = changes.get("PATH", self._set["PATH"])
        if "PATH" in changes and (path is None or not self._keeps_base(path)):
            changes.pop("PATH")
            self._warnings.append(
                f"{script.name} does not only put directories in front of PATH: what it does to "
                "PATH is not in the image's variables"
            )
        for name in (*changes, *outcome.unsteady):
            if outcome.fit and name != "PATH":
                self._before.setdefault(name, self.variables.get(name))
            self._late.discard(name)
        for name, value in changes.items():
            self._unsteady.pop(name, None)
            if value is None:
                self._set.pop(name, None)
                self._unset.add(name)
            else:
                self._set[name] = value
                self._unset.discard(name)
        for name in outcome.unsteady:
            self._unsteady[name] = script.name

    def take_from_manifest(self, name: str, value: str) -> None:
        """Set a variable of ``[activation.env]``, which a shell would expand."""
        if not _VARIABLE_NAME.match(name) or name in _READONLY:
            self._warnings.append(
                f"[activation.env] {name!r} cannot be set in the image: no shell takes such a name"
            )
            return
        found = expanded(value, self.variables)
        if found is None or (name == "PATH" and not self._keeps_base(found)):
            self._warnings.append(
                f"[activation.env] {name} cannot be set in the image: {value!r} depends on the "
                "job's surroundings"
            )
        else:
            self.assign({name: found})

    def result(self) -> Activation:
        """Everything, as it can be told to every runtime."""
        values = {name: value for name, value in self._set.items() if name != "PATH"}
        steady = {name: value for name, value in values.items() if name not in self._unsteady}
        safe = {name: value for name, value in steady.items() if is_safe(value)}
        for name in sorted(steady.keys() - safe.keys()):
            self._warnings.append(f"{name} cannot be set in the image: {_CHANGED_ON_THE_WAY}")
        for script in dict.fromkeys(self._unsteady.values()):
            names = [name for name, setter in self._unsteady.items() if setter == script]
            self._warnings.append(
                f"{script} gives {', '.join(names)} another value under another user, host or "
                "time: not in the image's variables, the entrypoint runs it"
            )
        return Activation(
            path=self._front(self._set["PATH"]),
            variables=safe,
            scripts=tuple(self._scripts),
            unset=tuple(sorted(self._unset & self._known.keys())),
            before=self._before,
            late=frozenset(self._late),
            path_before=self._front(self._path_before if self._scripts else self._set["PATH"]),
            warnings=tuple(self._warnings),
            evaluated=self._evaluated,
        )

    def _front(self, path: str) -> tuple[str, ...]:
        front = path.removesuffix(self._base_path).rstrip(":").split(":")
        return tuple(dict.fromkeys(each for each in front if each))

    def _keeps_base(self, path: str) -> bool:
        """Whether a PATH only puts directories in front of the base image's."""
        return path.endswith(f":{self._base_path}") and not _UNSAFE.search(path)


def is_safe(value: str) -> bool:
    """Whether every runtime passes ``value`` on unchanged."""
    return not _UNSAFE.search(value) and not _QUOTED.match(value)


def _env_vars(path: str, text: str) -> dict[str, str]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"reading {path}: it is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise ImageError(f"reading {path}: it is not a JSON object")
    return {
        name: value
        for name, value in document.items()
        if isinstance(value, str) and _VARIABLE_NAME.match(name) and name not in _READONLY
    }
