"""What is run on a host, as text for ``sh``.

``ssh`` joins its words and gives the line to the login shell there, which may be any. So the
line is the one word ``sh``, and the script is its standard input. It stands in braces: of one
that was cut off on its way, nothing is run.

Source: ssh(1); POSIX.1-2017 "Shell Command Language" and "tail".
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

ANSWER = ".submitted"
"""The file in a job's directory there that keeps what the scheduler said of it."""
NO_RSYNC = 90  # a status that nothing else ends with
DAMAGED, CHANGED = 3, 4  # statuses of settle_file
_END = "pixi-ship:end"
_WHOLE = re.compile(rf"\n{_END} (\d{{1,3}})\n\Z")


def whole(body: str) -> str:
    """A script that says at its end that it got there, and with what status."""
    return f"{{\n(\n{body}\n)\nprintf '\\n{_END} %d\\n' \"$?\"\n}}\n"


def bare(body: str) -> str:
    """A script that prints nothing besides."""
    return f"{{\n{body}\nexit\n}}\n"


def split_answer(printed: str) -> tuple[str, int] | None:
    """What a whole script printed, and its status; None where the end is missing."""
    found = _WHOLE.search(printed)
    return (printed[: found.start()], int(found[1])) if found else None


def command(words: Sequence[str], directory: str | None = None) -> str:
    """Run words as they are, by a login shell if only that knows the program."""
    return "\n".join([*_enter(directory), *_program(words), 'exec "$@" </dev/null'])


def kept_command(words: Sequence[str], directory: str) -> str:
    """Run words in a directory, and keep what they print there: nobody may be there to hear it.

    Of words that fail nothing is kept; of those that have not ended an empty file.
    """
    return "\n".join(
        [
            *_enter(directory),
            *_program(words),
            f'"$@" </dev/null >{ANSWER}',
            "status=$?",
            f"cat {ANSWER}",
            f"[ $status -eq 0 ] || rm -f {ANSWER}",
            "exit $status",
        ]
    )


def _enter(directory: str | None) -> list[str]:
    return [] if directory is None else [f"cd -- {shlex.quote(directory)} || exit"]


def _program(words: Sequence[str]) -> list[str]:
    # Many sites say where a scheduler is in /etc/profile alone, which only login shells read.
    return [
        f"set -- {shlex.join(words)}",
        'command -v "$1" >/dev/null 2>&1 || set -- sh -l -c \'exec "$@"\' sh "$@"',
    ]


def new_directory(jobs: str, name: str) -> str:
    """Make the first of ``NAME-1``, ``NAME-2``, … that is not there yet; prints its path.

    jobs: absolute, or below the home directory. Ends with NO_RSYNC where that is missing.
    """
    return "\n".join(
        [
            f"command -v rsync >/dev/null 2>&1 || exit {NO_RSYNC}",
            "unset CDPATH",
            f"cd && mkdir -p -- {shlex.quote(jobs)} && cd -- {shlex.quote(jobs)} || exit",
            "n=1",
            f"until mkdir {name}-$n 2>/dev/null; do",
            f"  [ -e {name}-$n ] || mkdir {name}-$n || exit",
            "  n=$((n + 1))",
            "done",
            f"cd {name}-$n && pwd",
        ]
    )


def tail(path: str, start: int) -> str:
    """Print a file from a byte on, the first being 0; nothing if there is none."""
    quoted = shlex.quote(path)
    return f"[ -e {quoted} ] || exit 0\nexec tail -c +{start + 1} -- {quoted} </dev/null"


def has_file(path: str) -> str:
    """End with 0 if there is such a file, else with 1; its directory is there then."""
    quoted = shlex.quote(path)
    return f'mkdir -p -- "$(dirname -- {quoted})" || exit 2\n[ -e {quoted} ]'


def settle_file(part: str, path: str, sha256: str) -> str:
    """Rename a file that has come; one with another digest is removed, and the status is 3.

    Somebody else may have brought the same one meanwhile, or be cut off while this one is read:
    what rsync then leaves is another file by the same name, and the status is 4.
    """
    there, final = shlex.quote(part), shlex.quote(path)
    return "\n".join(
        [
            f"if [ -e {final} ]; then rm -f -- {there}; exit 0; fi",
            "if command -v sha256sum >/dev/null 2>&1; then",
            f"  number=$(ls -di -- {there}) || exit",
            f"  case $(sha256sum <{there}) in",
            f"    {sha256}*) ;;",
            f"    *) rm -f -- {there}; exit {DAMAGED} ;;",
            "  esac",
            f'  [ "$number" = "$(ls -di -- {there})" ] || exit {CHANGED}',
            "fi",
            f"mv -f -- {there} {final}",
        ]
    )
