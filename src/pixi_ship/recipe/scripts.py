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


@dataclass(frozen=True, slots=True)
class Reader:
    """What reads a script of ours. Words before names that it sets and unsets.

    fixed: a word that tells which variables it has made readonly; none where it has no such.
    """

    export: str
    unset: str
    fixed: str = ""


PLAIN = Reader("export", "unset")
"""A shell that was just started, and Apptainer's own, which knows no ``command export``."""

LOGIN = Reader("command export", "command unset", '"$(readonly -p)"')
"""A login shell, in which sites make variables readonly.

To set one is an error that ends a POSIX shell, unless ``command`` stands before the special
built-in (POSIX.1-2024, XCU 2.8.1).
"""


# Where the job's user can write, and who that is: the image was made for nobody in particular.
_PERSON = """\
if [ ! -d "${HOME:-}" ] || [ ! -w "${HOME:-}" ]; then
  for pixi_ship_home in "${TMPDIR:-}" /tmp /dev/shm; do
    if [ -n "$pixi_ship_home" ] && [ -d "$pixi_ship_home" ] && [ -w "$pixi_ship_home" ]; then
      EXPORT HOME="$pixi_ship_home"
      break
    fi
  done
  unset pixi_ship_home
fi
if [ ! -w "${TMPDIR:-/tmp}" ] && [ ! -w /var/tmp ] && [ -w /dev/shm ]; then
  EXPORT TMPDIR=/dev/shm
fi
if [ -z "${USER:-}" ]; then
  # An arbitrary uid has no name; getpass.getuser() and its users want one all the same.
  EXPORT USER="$(id -un 2>/dev/null || echo "uid$(id -u 2>/dev/null || echo unknown)")"
  EXPORT LOGNAME="${LOGNAME:-$USER}"
fi
"""


# Prints what is exported, without what the shell that reads it has made readonly: names as
# ``readonly -p`` gives them, one a line (``readonly NAME=…``, in bash ``declare -rx NAME=…``).
_EXPORTED = """\
IFS="
"
set -f
for pixi_ship_line in $pixi_ship_fixed; do
  case "$pixi_ship_line" in "readonly "*|"declare -"*|"typeset -"*) ;; *) continue ;; esac
  pixi_ship_line="${pixi_ship_line%%=*}"
  pixi_ship_line="${pixi_ship_line##* }"
  case "$pixi_ship_line" in ""|*[!A-Za-z0-9_]*) continue ;; esac
  command unset "$pixi_ship_line" 2>/dev/null
done
unset PWD OLDPWD SHLVL _ pixi_ship_fixed
export -p"""


_KEEP_THE_HOST_OUT = ("PYTHONNOUSERSITE=1", "PYTHONPATH=", "PYTHONHOME=")


def shell_quoted(value: str) -> str:
    """``value`` as one POSIX shell word."""
    return "'" + value.replace("'", "'\\''") + "'"


@dataclass(frozen=True, slots=True)
class Shell:
    """What scripts of activation are sourced by: the base's bash where it has one, else sh."""

    path: str

    def result_of(self, script: str, reader: Reader) -> str:
        """A shell word with the variables that are exported once ``script`` was sourced.

        In a process of its own: a script that exits, fails or reads does not end the job, nor
        take its input. Its words go to stderr; ``sh`` writes what is exported, so that the
        shell that reads it, another one maybe, knows the way it is quoted. What that shell has
        made readonly is left out.
        """
        source = f". {shell_quoted(script)} </dev/null >&2; "
        if not reader.fixed:
            inner = f"{source}exec /bin/sh -c 'unset PWD OLDPWD SHLVL _; export -p'"
            return f'"$({self.path} -c {shell_quoted(inner)})"'
        inner = (
            "pixi_ship_kept=$pixi_ship_fixed; unset pixi_ship_fixed; "
            f'{source}export pixi_ship_fixed="$pixi_ship_kept"; '
            f"exec /bin/sh -c {shell_quoted(_EXPORTED)}"
        )
        return f'"$(pixi_ship_fixed={reader.fixed} {self.path} -c {shell_quoted(inner)})"'


def exports(
    prefix: str,
    activation: Activation,
    variables: Mapping[str, str],
    shell: Shell,
    reader: Reader = PLAIN,
) -> str:
    """Shell lines that activate: idempotent, without ``trap``, ``set`` or bash's own words.

    variables: what activation sets, the scripts' results too.
    """
    lines = _activating(prefix, activation, variables, shell, reader)
    # Not the prefix alone, which a job that starts in another image of ours has as well; and the
    # same whoever reads it, since one shell may come to read two of these scripts.
    told = chr(10).join(_activating(prefix, activation, variables, shell, PLAIN))
    marker = shell_quoted(f"{prefix}@{Digest.of(told.encode()).hex[:12]}")
    lines = [f'if [ "${{PIXI_SHIP_ACTIVE:-}}" != {marker} ]; then', *lines]
    lines += [f"  {reader.export} PIXI_SHIP_ACTIVE={marker}", "fi"]
    # A login shell may have set PATH anew, whoever was here before.
    path = _in_front(activation.path, reader)
    return "\n".join([*lines, *path] if activation.scripts else [*path, *lines])


def _activating(
    prefix: str,
    activation: Activation,
    variables: Mapping[str, str],
    shell: Shell,
    reader: Reader,
) -> list[str]:
    # Where no runtime applied the image's variables, those that keep the host out are missing too.
    lines = [
        f'  if [ "${{CONDA_PREFIX:-}}" != {shell_quoted(prefix)} ]; then',
        *(f"    {reader.export} {row}" for row in _KEEP_THE_HOST_OUT),
        "  fi",
    ]
    if activation.scripts:
        lines += [f"  {line}" for line in _reset(activation, variables, reader)]
    lines += [
        f"  {reader.export} {name}={shell_quoted(value)}"
        for name, value in variables.items()
        if name not in activation.before and name not in activation.late
    ]
    if activation.scripts:
        lines += [f"  {line}" for line in _in_front(activation.path_before, reader)]
        for script in activation.scripts:
            lines += [f"  {line}" for line in _sourced(script, shell, reader)]
        lines += [f"  {line}" for line in _settled(activation, variables, reader)]
    return lines


def _in_front(path: Sequence[str], reader: Reader) -> list[str]:
    """Have directories in PATH, the first one first."""
    lines = []
    for directory in reversed(path):
        word = shell_quoted(directory)
        lines += [
            'case ":${PATH:-}:" in',
            f"  *:{word}:*) ;;",
            f'  *) {reader.export} PATH={word}"${{PATH:+:$PATH}}" ;;',
            "esac",
        ]
    return lines


def _reset(activation: Activation, variables: Mapping[str, str], reader: Reader) -> list[str]:
    """Take back what the scripts did already, since most would add the same once more."""
    lines = []
    for name, before in activation.before.items():
        if name not in variables:
            continue
        if before is None:
            back = f"{reader.unset} {name}"
        else:
            back = f"{reader.export} {name}={shell_quoted(before)}"
        lines.append(f'if [ "${{{name}-}}" = {shell_quoted(variables[name])} ]; then {back}; fi')
    if activation.path != activation.path_before:
        after = shell_quoted(":".join(activation.path))
        before_it = shell_quoted(":".join(activation.path_before))
        lines += [
            'case "${PATH:-}" in',
            f'  {after}:*) {reader.export} PATH={before_it}:"${{PATH#{after}:}}" ;;',
            "esac",
        ]
    return lines


def _sourced(script: str, shell: Shell, reader: Reader) -> list[str]:
    word = shell_quoted(script)
    return [
        f"if [ -r {word} ] && {shell.path} -n {word} 2>/dev/null; then",
        f"  eval {shell.result_of(script, reader)}",
        "fi",
    ]


def _settled(activation: Activation, variables: Mapping[str, str], reader: Reader) -> list[str]:
    """What comes after the scripts; and what they told elsewhere, if they did not here."""
    lines = []
    for name, value in variables.items():
        line = f"{reader.export} {name}={shell_quoted(value)}"
        if name in activation.late:
            lines.append(line)
        elif name in activation.before:
            lines.append(f'if [ -z "${{{name}+set}}" ]; then {line}; fi')
    return lines


def entrypoint(
    prefix: str, activation: Activation, variables: Mapping[str, str], shell: Shell
) -> bytes:
    """``/app/entrypoint.sh``: ENTRYPOINT, a command, or sourced without its last line."""
    activate = exports(prefix, activation, variables, shell)
    return _ENTRY.format(prefix=prefix, activate=activate, person=_person(PLAIN)).encode()


def hook(
    prefix: str,
    activation: Activation,
    variables: Mapping[str, str],
    shell: Shell,
    reader: Reader,
) -> bytes:
    """A hook that is sourced, by login shells or by Apptainer."""
    activate = exports(prefix, activation, variables, shell, reader)
    return f"{activate}\n{_person(reader)}".encode()


def _person(reader: Reader) -> str:
    return _PERSON.replace("EXPORT", reader.export)


def charliecloud_environment(rows: Sequence[str]) -> bytes:
    """``/ch/environment``, which ``ch-run --set-env`` reads."""
    return "".join(f"{row}\n" for row in rows).encode()
