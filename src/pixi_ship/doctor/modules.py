"""Which module of a cluster has a runtime.

Source: Environment Modules 5, module(1) ``avail --terse``; Lmod's user guide, ``-t avail``. Both
write it to standard error; Lmod names a module without its version first.
"""

from __future__ import annotations

import re

from pixi_ship.doctor.questions import Questions

_MODULE = re.compile(r"((?:[\w.+-]+/)*(apptainer|singularity|singularity-?ce)/([\w.+-]+))", re.I)
_DEFAULT = "(default)"


def ask_modules(questions: Questions) -> str | None:
    """The module with a runtime; None where there is none, or no modules."""
    # Only a login shell knows "module".
    script = "module -t avail apptainer singularity 2>&1"
    return parse_modules(questions.answer("bash", "-lc", script) or "")


def parse_modules(text: str) -> str | None:
    """Apptainer before Singularity, the default before others, the newest before older ones."""
    best: tuple[bool, bool, list[int]] | None = None
    name = None
    for line in text.splitlines():
        row = line.strip()
        is_default = row.endswith(_DEFAULT)
        found = _MODULE.fullmatch(row.removesuffix(_DEFAULT))
        if found is None:
            continue
        numbers = [int(each) for each in re.findall(r"\d{1,9}", found[3])]
        rank = (found[2].lower() == "apptainer", is_default, numbers)
        if best is None or rank > best:
            best, name = rank, found[1]
    return name
