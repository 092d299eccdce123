"""What activating a prefix does, as far as it can be known without running anything.

``config.Env`` is the only part of an image that every runtime applies, so the *result* of
activation goes there. Scripts in ``etc/conda/activate.d`` that only assign variables are
read; others are left to the entrypoint, and named in a warning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pixi_ship.errors import ImageError

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_USE = rf"\${_NAME}|\$\{{{_NAME}(?::-[A-Za-z0-9_./:,+@%=-]*)?\}}"
_ASSIGNMENT = re.compile(rf"(?:export\s+)?({_NAME})=(.*)\Z", re.DOTALL)
_EXPORT = re.compile(rf"export\s+{_NAME}(\s+{_NAME})*\Z")
_EXPORTED = re.compile(rf"^\s*export\s+({_NAME})", re.MULTILINE)
_WORD = re.compile(
    rf"""'(?P<single>[^']*)' | "(?P<double>(?:[^"\\`$]|\\[\\"$`]|{_USE})*)"
       | (?P<bare>(?:[A-Za-z0-9_./:,+@%=-]|{_USE})+)""",
    re.VERBOSE,
)
_VARIABLE = re.compile(rf"\$(?:({_NAME})|\{{({_NAME})(?::-([A-Za-z0-9_./:,+@%=-]*))?\}})")
_ESCAPED = re.compile(r"\\([\\\"$`])")
# What no value may hold: enroot expands ${…} from the host's environment and strips one
# pair of outer quotes, and reads the file line by line (enroot src/common.sh).
_UNSAFE = re.compile(r"[$\n\r\0]")

_BASE_PATH = "\0base"  # stands for the base image's PATH while scripts are read


@dataclass(frozen=True, slots=True)
class Activation:
    """The result: variables, and the scripts (paths in the image) that must run to know more.

    path: the directories that come before the base image's PATH; variables has no PATH.
    unknown: script → the variables it exports. left_out: what cannot be set → the reason.
    """

    path: tuple[str, ...]
    variables: Mapping[str, str]
    scripts: tuple[str, ...]
    unknown: Mapping[str, tuple[str, ...]]
    left_out: Mapping[str, str]


def activate(
    prefix: str, files: Mapping[str, str], manifest_env: Mapping[str, str], known: Mapping[str, str]
) -> Activation:
    """Work out the variables of a prefix.

    files: path in the prefix → text, of ``etc/conda/env_vars.d`` and ``activate.d``.
    manifest_env: ``[activation.env]``. known: variables that are set before, PATH left out.
    Order as in rattler's activator: env_vars.d, scripts, then the manifest.
    """
    known = {**known, "PATH": f"{prefix}/bin:{_BASE_PATH}"}
    variables: dict[str, str] = {}
    scripts: list[str] = []
    unknown: dict[str, tuple[str, ...]] = {}
    left_out: dict[str, str] = {}
    for path in sorted(files):
        if path.startswith("etc/conda/env_vars.d/"):
            variables.update(_env_vars(path, files[path]))
    for path in sorted(files):
        if path.startswith("etc/conda/activate.d/") and path.endswith(".sh"):
            found = assignments(files[path], {**known, **variables})
            if found is None or not _keeps_base(found.get("PATH", _BASE_PATH)):
                scripts.append(f"{prefix}/{path}")
                unknown[path] = tuple(dict.fromkeys(_EXPORTED.findall(files[path])))
            else:
                variables.update(found)
    for name, value in manifest_env.items():
        expanded = _expanded(value, {**known, **variables})
        if expanded is None or (name == "PATH" and not _keeps_base(expanded)):
            left_out[f"[activation.env] {name}"] = f"{value!r} depends on the job's surroundings"
        else:
            variables[name] = expanded
    front = variables.pop("PATH", known["PATH"]).split(":")[:-1]
    safe = {name: value for name, value in variables.items() if is_safe(value)}
    for name in variables.keys() - safe.keys():
        left_out[name] = "a runtime would change a value with '$', a newline or outer quotes"
    return Activation(tuple(dict.fromkeys(front)), safe, tuple(scripts), unknown, left_out)


def _keeps_base(path: str) -> bool:
    """Whether a PATH only puts directories in front of the base image's."""
    return path.endswith(_BASE_PATH) and path.count(_BASE_PATH) == 1 and "\n" not in path


def is_safe(value: str) -> bool:
    """Whether every runtime passes ``value`` on unchanged."""
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return not _UNSAFE.search(value) and not quoted


def assignments(script: str, known: Mapping[str, str]) -> dict[str, str] | None:
    """The variables a shell script exports, if all it does is assign; None if it does more."""
    values = dict(known)
    exported: dict[str, str] = {}
    for raw in script.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if _EXPORT.match(line):
            exported.update({name: values[name] for name in line.split()[1:] if name in values})
            continue
        match = _ASSIGNMENT.match(line.rstrip("; "))
        value = _word(match[2], values) if match else None
        if match is None or value is None:
            return None
        values[match[1]] = value
        if line.startswith("export") or match[1] in exported or match[1] in known:
            exported[match[1]] = value
    return exported


def _word(text: str, values: Mapping[str, str]) -> str | None:
    """One shell word without commands in it, expanded; None if it is anything else."""
    result, at = "", 0
    text = re.sub(r"\s+#.*\Z", "", text)
    while at < len(text):
        match = _WORD.match(text, at)
        if match is None:
            return None
        if match["single"] is not None:
            part: str | None = match["single"]
        elif match["double"] is not None:
            part = _expanded(match["double"], values)
            part = _ESCAPED.sub(r"\1", part) if part is not None else None
        else:
            part = _expanded(match["bare"], values)
        if part is None:
            return None
        result += part
        at = match.end()
    return result


def _expanded(text: str, values: Mapping[str, str]) -> str | None:
    """``text`` with its variables replaced; None if one is neither known nor has a default."""
    unknown = False

    def value(match: re.Match[str]) -> str:
        nonlocal unknown
        found, default = values.get(match[1] or match[2]), match[3]
        if default is not None:
            return found or default
        unknown = unknown or found is None
        return found or ""

    expanded = _VARIABLE.sub(value, text)
    return None if unknown else expanded


def _env_vars(path: str, text: str) -> dict[str, str]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ImageError(f"reading {path}: it is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise ImageError(f"reading {path}: it is not a JSON object")
    return {name: value for name, value in document.items() if isinstance(value, str)}
