"""Which of a job's files come back from a host, as filter rules for ``rsync``.

Each rule stands for itself and ends with a NUL byte (``--from0``). The first that matches counts.
Source: rsync(1), "FILTER RULES" and "PATTERN MATCHING RULES".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

SAID = ("stdout.txt", "stderr.txt")
CODE = "exit-code"
INPUTS = ".inputs"
"""The directory in a job's directory there that holds what was copied for it."""
# What is known of the job here is not the host's to say.
_KEPT_HERE = ("- /job.json", "- /ended.json", "- /.submitted")
_WILD = re.compile(r"[*?\[]")


def small_files(name: str) -> str:
    """What tells how tasks are doing: their exit codes, and HTCondor's log of the job."""
    return _joined([f"+ /{CODE}", "+ /task-*/", f"+ /task-*/{CODE}", f"+ /{name}.log", "- *"])


def left_by(
    outputs: Sequence[str], inputs: Sequence[str], unfinished: Iterable[int] | None = None
) -> str:
    """What tasks have left: the outputs that are named, or all but the inputs if none is.

    unfinished: the numbers of an array's tasks that are to be passed over; None where the job
    is no array.
    """
    array = unfinished is not None
    above = "/task-*" if array else ""
    rules = [*_KEPT_HERE, *(f"- /task-{index}/" for index in unfinished or ())]
    rules += [f"+ {above}/"] if array else []
    if outputs:
        rules += [f"+ {above}/{each}" for each in (*SAID, CODE)]
        rules += [f"+ {above}/{rule}" for path in outputs for rule in _output(path, array)]
    else:
        rules += [f"- {above}/{literal(each, wild=array)}" for each in (INPUTS, *inputs)]
        rules.append(f"+ {above}/***")
    return _joined([*rules, "- *"])


def _output(path: str, array: bool) -> Iterator[str]:
    """A path, the directories that lead to it, and all below it."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    for count in range(1, len(parts)):
        yield literal("/".join(parts[:count]), wild=array) + "/"
    yield literal("/".join(parts), wild=array)
    yield literal("/".join(parts), wild=True) + "/***"


def literal(path: str, *, wild: bool = False) -> str:
    """A path in a rule, meaning itself.

    wild: whether the rule has a wildcard besides; only then does a backslash escape.
    """
    if wild or _WILD.search(path):
        return re.sub(r"([\\*?\[])", r"\\\1", path)
    return path


def _joined(rules: Iterable[str]) -> str:
    return "".join(f"{rule}\0" for rule in rules)
