"""Words of a command as a shell and as HTCondor's submit language take them.

Source: POSIX.1-2017 "Shell Command Language" 2.2; HTCondor manual, ``condor_submit``,
``arguments`` and ``environment`` ("new syntax").
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from pixi_ship.job.spec import INDEX, ITEM, JobSpec

_VARIABLES = {INDEX: '"$index"', ITEM: '"$item"'}
# "$" begins a macro, some of which are expanded only when the job is matched; a line ends a value.
_NOT_FOR_CONDOR = re.compile(r"[$\x00-\x1f\x7f]")
_BARE = re.compile(r"[A-Za-z0-9_./:=@%+,{}^~!?*;<>|&()\[\]#-]+\Z")
# What a line of "queue … from FILE" gives back as it is.
_PLAIN_ITEM = re.compile(r"[A-Za-z0-9_./:=@%+-]+\Z")


def shell_word(word: str, places: Sequence[str]) -> str:
    """One word for ``sh``; places in it become the variables ``index`` and ``item``."""
    if not places:
        return shlex.quote(word)
    split = re.split(f"({'|'.join(map(re.escape, places))})", word)
    parts = [_VARIABLES[part] if part in places else shlex.quote(part) for part in split if part]
    return "".join(parts) or "''"


def shell_command(job: JobSpec) -> str:
    """The command of a job for ``sh``, on one line but for line breaks in its words."""
    return " ".join(shell_word(word, job.places) for word in job.command)


def fits_condor(texts: Sequence[str]) -> bool:
    """Whether a submit file can hold the texts as they are."""
    return not any(_NOT_FOR_CONDOR.search(text) for text in texts)


def plain_items(items: Sequence[str]) -> bool:
    """Whether HTCondor gives each item back as it is when it reads them from a file."""
    return all(_PLAIN_ITEM.match(item) for item in items)


def condor_environment(variables: Mapping[str, str]) -> str:
    """The value of ``environment``, which is quoted as ``arguments`` is."""
    return condor_arguments([f"{name}={value}" for name, value in variables.items()], {})


def condor_arguments(words: Sequence[str], places: Mapping[str, str]) -> str:
    """The value of ``arguments``; places: the macros that stand for index and item."""
    joined = " ".join(_condor_word(word) for word in words)
    for place, macro in places.items():
        joined = joined.replace(place, macro)
    return '"' + joined.replace('"', '""') + '"'


def _condor_word(word: str) -> str:
    if _BARE.match(word):
        return word
    return "'" + word.replace("'", "''") + "'"
