"""The scripts in an image: thin, POSIX, and harmless to run twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_ENTRY = """\
#!/bin/sh
# Activate the environment {prefix}, then run the command.
# Most of this is in the image's own variables already; what only scripts can know comes here.
{activate}
if [ ! -d "${{HOME:-}}" ] || [ ! -w "${{HOME:-}}" ]; then
  for pixi_ship_home in "${{TMPDIR:-}}" /tmp /dev/shm; do
    if [ -n "$pixi_ship_home" ] && [ -d "$pixi_ship_home" ] && [ -w "$pixi_ship_home" ]; then
      export HOME="$pixi_ship_home"
      break
    fi
  done
  unset pixi_ship_home
fi
if [ -z "${{USER:-}}" ]; then
  # An arbitrary uid has no name; getpass.getuser() and its users want one all the same.
  USER="$(id -un 2>/dev/null || echo "uid$(id -u 2>/dev/null || echo unknown)")"
  export USER LOGNAME="${{LOGNAME:-$USER}}"
fi
exec "$@"
"""


def shell_quoted(value: str) -> str:
    """``value`` as one POSIX shell word."""
    return "'" + value.replace("'", "'\\''") + "'"


def exports(
    prefix: str, path: Sequence[str], variables: Mapping[str, str], scripts: Sequence[str]
) -> str:
    """Shell lines that activate: idempotent, without ``trap``, ``set`` or bash's own words.

    path: directories that PATH shall begin with, first one first.
    """
    marker = shell_quoted(prefix)
    lines = []
    for directory in reversed(path):
        word = shell_quoted(directory)
        lines += [
            'case ":${PATH:-}:" in',
            f"  *:{word}:*) ;;",
            f'  *) export PATH={word}"${{PATH:+:$PATH}}" ;;',
            "esac",
        ]
    lines += [
        f'if [ "${{PIXI_SHIP_ACTIVE:-}}" != {marker} ]; then',
        *(f"  export {name}={shell_quoted(value)}" for name, value in variables.items()),
    ]
    for script in scripts:
        word = shell_quoted(script)
        # Scripts may be written for bash alone; one that sh cannot read would end the job.
        lines.append(f"  if [ -r {word} ] && sh -n {word} 2>/dev/null; then . {word}; fi")
    lines += [f"  export PIXI_SHIP_ACTIVE={marker}", "fi"]
    return "\n".join(lines)


def entrypoint(
    prefix: str, path: Sequence[str], variables: Mapping[str, str], scripts: Sequence[str]
) -> bytes:
    """``/app/entrypoint.sh``: ENTRYPOINT, a command, or sourced without its last line."""
    activate = exports(prefix, path, variables, scripts)
    return _ENTRY.format(prefix=prefix, activate=activate).encode()


def hook(
    prefix: str, path: Sequence[str], variables: Mapping[str, str], scripts: Sequence[str]
) -> bytes:
    """A hook for login shells and Apptainer, which source it."""
    return (exports(prefix, path, variables, scripts) + "\n").encode()


def charliecloud_environment(rows: Sequence[str]) -> bytes:
    """``/ch/environment``, which ``ch-run --set-env`` reads."""
    return "".join(f"{row}\n" for row in rows).encode()
