"""Which files of the workspace a command names, as far as its words tell."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path

from pixi_ship.project.shell import Quoted, Script, Text, Variable, Word, simple_commands

_ROOT = "PIXI_PROJECT_ROOT"


def needed_files(root: Path, directory: str, script: Script) -> Iterator[str]:
    """Words that are paths below ``root``, relative to it; a guess, for a warning only.

    directory: where the script runs, relative to root. A command's name counts where it has
    a slash; of ``--option=PATH`` the path counts, of ``-m NAME`` the module.
    """
    for command in simple_commands(script):
        previous = ""
        for place, word in enumerate(command.words):
            text = _path(word, directory)
            if text is None:
                continue
            if place == 0 and "/" not in text:
                continue
            candidates = [text.partition("=")[2]] if text.startswith("-") else [text]
            if previous == "-m":
                module = text.replace(".", "/")
                candidates = [module, f"{module}.py", module.partition("/")[0]]
            previous = text
            for candidate in candidates:
                if found := _inside(root, directory, candidate):
                    yield found
                    break


def _path(word: Word, directory: str) -> str | None:
    """A word's text; ``$PIXI_PROJECT_ROOT`` is the way up to the root."""
    pieces = []
    for part in word.parts:
        for each in part.parts if isinstance(part, Quoted) else (part,):
            if isinstance(each, Text):
                pieces.append(each.text)
            elif each == Variable(_ROOT) and not pieces:
                pieces.append(posixpath.relpath("/", f"/{directory}"))
            else:
                return None
    return "".join(pieces)


def _inside(root: Path, directory: str, text: str) -> str | None:
    if not text or "\0" in text or text.startswith(("/", "-")) or len(text) > 4096:
        return None
    clean = posixpath.normpath(posixpath.join(directory, text))
    if clean in (".", "..") or clean.startswith(("../", ".pixi")):
        return None
    try:
        return clean if (root / clean).exists() else None
    except OSError:
        return None
