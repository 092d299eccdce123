"""What may stand in the texts that are rendered, and how it is quoted there.

A Dockerfile expands ``$`` and patterns even in JSON (Dockerfile reference, "COPY"), a definition
file ``{{ }}`` and patterns, a workflow ``${{ }}`` and patterns. Rather than quote five ways, names
that mean something in one of them are refused in all.
"""

from __future__ import annotations

import json
import re

from pixi_ship.errors import UsageError

# Pixi: EnvironmentName, and names of platforms in [workspace].
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*\Z")
_PLATFORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_VERSION = re.compile(r"[0-9]{1,5}(?:\.[0-9]{1,5}){0,3}\Z")
_PATH = re.compile(r"(?!-)[\w./@%+=,~ -]+\Z")


def environment_word(name: str) -> str:
    """An environment's name as it is; raises UsageError where Pixi would refuse it."""
    if not _NAME.match(name):
        raise UsageError(
            f"rendering environment {name!r}: want small letters, digits and dashes",
            hint="Pixi takes no other names; rename the environment",
        )
    return name


def platform_word(name: str) -> str:
    """A platform's name as it is; raises UsageError where it has a character of shells."""
    if not _PLATFORM.match(name):
        raise UsageError(
            f"rendering platform {name!r}: want letters, digits, dots, dashes and underscores",
            hint="give the platform another name in the manifest",
        )
    return name


def version_word(version: str) -> str:
    """A version of CUDA as it is; raises UsageError for anything but numbers and dots."""
    if not _VERSION.match(version):
        raise UsageError(
            f"rendering CUDA version {version!r}: want numbers, such as 12 or 12.9",
            hint="name another with --cuda",
        )
    return version


def path_word(path: str) -> str:
    """A path as it is; raises UsageError where one of the languages would read it as another."""
    if not _PATH.match(path) or path.strip() != path:
        raise UsageError(
            f"rendering the path {path!r}: it has characters that a Dockerfile, a definition "
            "file or a workflow gives a meaning",
            hint="rename it; letters, digits, spaces and ./@%+=,~_- can be said in all of them",
        )
    return path


def json_words(*words: str) -> str:
    """Words as the JSON form of a Dockerfile's instruction."""
    return json.dumps(list(words), ensure_ascii=False)


def definition_word(path: str) -> str:
    """A path in ``%files``, which is cut at spaces outside of double quotes."""
    return f'"{path}"' if " " in path else path
