"""The scripts in an image: thin, POSIX, and harmless to run twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pixi_ship.digest import Digest
from pixi_ship.recipe.activation import Activation

_ENTRY = """\
#!/bin/sh
# Activate the environment {prefix}, then run the command.
# Most of this is in the image's own variables already; what only scripts can know comes here.
{activate}
{person}exec "$@"
"""


# Where the job's user can write, and who that is: the image was made for nobody in particular.
_PERSON = """\
if [ ! -d "${HOME:-}" ] || [ ! -w "${HOME:-}" ]; then
  for pixi_ship_home in "${TMPDIR:-}" /tmp /dev/shm; do
    if [ -n "$pixi_ship_home" ] && [ -d "$pixi_ship_home" ] && [ -w "$pixi_ship_home" ]; then
      export HOME="$pixi_ship_home"
      break
    fi
  done
  unset pixi_ship_home
fi
if [ ! -w "${TMPDIR:-/tmp}" ] && [ ! -w /var/tmp ] && [ -w /dev/shm ]; then
  export TMPDIR=/dev/shm
fi
if [ -z "${USER:-}" ]; then
  # An arbitrary uid has no name; getpass.getuser() and its users want one all the same.
  USER="$(id -un 2>/dev/null || echo "uid$(id -u 2>/dev/null || echo unknown)")"
  export USER LOGNAME="${LOGNAME:-$USER}"
fi
"""


def shell_quoted(value: str) -> str:
    """``value`` as one POSIX shell word."""
    return "'" + value.replace("'", "'\\''") + "'"


@dataclass(frozen=True, slots=True)
class Shell:
    """What scripts of activation are sourced by: the base's bash where it has one, else sh."""

    path: str

    def result_of(self, script: str) -> str:
        """A shell word with the variables that are exported once ``script`` was sourced.

        In a process of its own: a script that exits, fails or reads does not end the job, nor
        take its input. Its words go to stderr; ``sh`` writes what is exported, so that the
        shell that reads it, another one maybe, knows the way it is quoted.
        """
        inner = (
            f". {shell_quoted(script)} </dev/null >&2; "
            "exec /bin/sh -c 'unset PWD OLDPWD SHLVL _; export -p'"
        )
        return f'"$({self.path} -c {shell_quoted(inner)})"'


def exports(prefix: str, activation: Activation, variables: Mapping[str, str], shell: Shell) -> str:
    """Shell lines that activate: idempotent, without ``trap``, ``set`` or bash's own words.

    variables: what activation sets, the scripts' results too.
    """
    # Where no runtime applied the image's variables, those that keep the host out are missing too.
    lines = [
        f'  if [ "${{CONDA_PREFIX:-}}" != {shell_quoted(prefix)} ]; then',
        "    export PYTHONNOUSERSITE=1 PYTHONPATH= PYTHONHOME=",
        "  fi",
    ]
    if activation.scripts:
        lines += [f"  {line}" for line in _reset(activation, variables)]
    lines += [
        f"  export {name}={shell_quoted(value)}"
        for name, value in variables.items()
        if name not in activation.before and name not in activation.late
    ]
    if activation.scripts:
        lines += [f"  {line}" for line in _in_front(activation.path_before)]
        lines += [f"  {line}" for each in activation.scripts for line in _sourced(each, shell)]
        lines += [f"  {line}" for line in _settled(activation, variables)]
    # Not the prefix alone, which a job that starts in another image of ours has as well.
    marker = shell_quoted(f"{prefix}@{Digest.of(chr(10).join(lines).encode()).hex[:12]}")
    lines = [f'if [ "${{PIXI_SHIP_ACTIVE:-}}" != {marker} ]; then', *lines]
    lines += [f"  export PIXI_SHIP_ACTIVE={marker}", "fi"]
    # A login shell may have set PATH anew, whoever was here before.
    path = _in_front(activation.path)
    return "\n".join([*lines, *path] if activation.scripts else [*path, *lines])


def _in_front(path: Sequence[str]) -> list[str]:
    """Have directories in PATH, the first one first."""
    lines = []
    for directory in reversed(path):
        word = shell_quoted(directory)
        lines += [
            'case ":${PATH:-}:" in',
            f"  *:{word}:*) ;;",
            f'  *) export PATH={word}"${{PATH:+:$PATH}}" ;;',
            "esac",
        ]
    return lines


def _reset(activation: Activation, variables: Mapping[str, str]) -> list[str]:
    """Take back what the scripts did already, since most would add the same once more."""
    lines = []
    for name, before in activation.before.items():
        if name not in variables:
            continue
        back = f"unset {name}" if before is None else f"export {name}={shell_quoted(before)}"
        lines.append(f'if [ "${{{name}-}}" = {shell_quoted(variables[name])} ]; then {back}; fi')
    if activation.path != activation.path_before:
        after = shell_quoted(":".join(activation.path))
        before_it = shell_quoted(":".join(activation.path_before))
        lines += [
            'case "${PATH:-}" in',
            f'  {after}:*) export PATH={before_it}:"${{PATH#{after}:}}" ;;',
            "esac",
        ]
    return lines


def _sourced(script: str, shell: Shell) -> list[str]:
    word = shell_quoted(script)
    return [
        f"if [ -r {word} ] && {shell.path} -n {word} 2>/dev/null; then",
        f"  eval {shell.result_of(script)}",
        "fi",
    ]


def _settled(activation: Activation, variables: Mapping[str, str]) -> list[str]:
    """What comes after the scripts; and what they told elsewhere, if they did not here."""
    lines = []
    for name, value in variables.items():
        word = shell_quoted(value)
        if name in activation.late:
            lines.append(f"export {name}={word}")
        elif name in activation.before:
            lines.append(f'if [ -z "${{{name}+set}}" ]; then export {name}={word}; fi')
    return lines


def entrypoint(
    prefix: str, activation: Activation, variables: Mapping[str, str], shell: Shell
) -> bytes:
    """``/app/entrypoint.sh``: ENTRYPOINT, a command, or sourced without its last line."""
    activate = exports(prefix, activation, variables, shell)
    return _ENTRY.format(prefix=prefix, activate=activate, person=_PERSON).encode()


def hook(prefix: str, activation: Activation, variables: Mapping[str, str], shell: Shell) -> bytes:
    """A hook for login shells and Apptainer, which source it."""
    return (exports(prefix, activation, variables, shell) + "\n" + _PERSON).encode()


def charliecloud_environment(rows: Sequence[str]) -> bytes:
    """``/ch/environment``, which ``ch-run --set-env`` reads."""
    return "".join(f"{row}\n" for row in rows).encode()
