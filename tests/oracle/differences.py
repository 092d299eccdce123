"""Every way in which our tree differs from rattler's on purpose, each with its reason.

A rule rewrites what rattler made into what we mean to make; a test then wants equality.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pixi_ship.prefix.bytecode import source_path, without_time
from pixi_ship.tree import readable_mode

from .trees import Node, Prefix


@dataclass(frozen=True)
class Difference:
    """An intended difference: its name, why it is there, and what it does to rattler's tree."""

    name: str
    reason: str
    apply: Callable[[Prefix], Prefix]


def _records(change: Callable[[dict[str, Any], Prefix], None]) -> Callable[[Prefix], Prefix]:
    def apply(prefix: Prefix) -> Prefix:
        changed = dict(prefix)
        for path, node in prefix.items():
            if node.kind == "record":
                document = copy.deepcopy(node.record)
                change(document, prefix)
                changed[path] = replace(node, content=b"", record=document)
        return changed

    return apply


def _without_machine(document: dict[str, Any], _: Prefix) -> None:
    document.pop("extracted_package_dir", None)
    document.pop("link", None)


def _sorted_rows(document: dict[str, Any], _: Prefix) -> None:
    document["files"].sort(key=lambda path: path.split("/"))
    document["paths_data"]["paths"].sort(key=lambda row: row["_path"].split("/"))


def _modes(prefix: Prefix) -> Prefix:
    changed = {}
    for path, node in prefix.items():
        mode = {"directory": 0o755, "record": 0o644, "link": 0}.get(node.kind)
        changed[path] = replace(node, mode=readable_mode(node.mode) if mode is None else mode)
    return changed


def _without(*paths: str) -> Callable[[Prefix], Prefix]:
    return lambda prefix: {path: node for path, node in prefix.items() if path not in paths}


def _without_empty_directories(prefix: Prefix) -> Prefix:
    """Drop directories that hold nothing and that no record lists."""
    listed = {
        path for node in prefix.values() if node.kind == "record" for path in node.record["files"]
    }
    kept = {
        parent
        for path, node in prefix.items()
        if node.kind != "directory" or path in listed
        for parent in (path, *_parents(path))
    }
    return {path: node for path, node in prefix.items() if path in kept}


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _timeless_bytecode(prefix: Prefix) -> Prefix:
    changed = {
        path: replace(node, content=b"".join(without_time([node.content])))
        if node.kind == "file" and path.endswith(".pyc") and source_path(path)
        else node
        for path, node in prefix.items()
    }

    def rehash(document: dict[str, Any], now: Prefix) -> None:
        for row in document["paths_data"]["paths"]:
            node = now.get(row["_path"])
            if node and node.content != prefix[row["_path"]].content:
                row["sha256_in_prefix"] = hashlib.sha256(node.content).hexdigest()

    return _records(rehash)(changed)


def _stale_bytecode(prefix: Prefix) -> Prefix:
    stale = set()
    for node in prefix.values():
        if node.kind == "record":
            rows = {row["_path"]: row for row in node.record["paths_data"]["paths"]}
            stale |= {
                path
                for path in rows
                if (source := source_path(path)) and "prefix_placeholder" in rows.get(source, ())
            }

    return _unlisted(stale)(prefix)


def _unlisted(gone: set[str]) -> Callable[[Prefix], Prefix]:
    """Drop paths, and their rows in the records."""

    def unlist(document: dict[str, Any], _: Prefix) -> None:
        rows = document["paths_data"]["paths"]
        document["paths_data"]["paths"] = [row for row in rows if row["_path"] not in gone]
        document["files"] = [path for path in document["files"] if path not in gone]

    return lambda prefix: _records(unlist)(_without(*gone)(prefix))


DIFFERENCES = (
    Difference(
        "a stale .pyc is left out",
        "its source is relocated after it was compiled, and an image gives both one time: "
        "Python would run the old code; the compiler makes a new one",
        _stale_bytecode,
    ),
    Difference(
        "a .pyc is not checked against its source",
        "all files of an image have one time, so a .pyc that remembers its source's time is "
        "never valid, and the root is read-only on a node",
        _timeless_bytecode,
    ),
    Difference(
        "conda-meta says nothing of the building machine",
        "extracted_package_dir and link.source name its package cache: of no use in the image, "
        "and its bytes would depend on who built it",
        _records(_without_machine),
    ),
    Difference(
        "rows of conda-meta are sorted by the path the file ends up at",
        "rattler sorts by the path before clobbered files move, which depends on the order in "
        "which its threads happened to link the packages",
        _records(_sorted_rows),
    ),
    Difference(
        "modes are a+rX, u+w, never setuid; directories 0755; conda-meta 0644",
        "the image's user owns none of its files, and directories that two layers disagree on "
        "would change each layer with the other; rattler makes entry points 0775",
        _modes,
    ),
    Difference(
        "no CACHEDIR.TAG",
        "it tells backup programs to skip the directory; nobody backs up an image's root",
        _without("CACHEDIR.TAG"),
    ),
    Difference(
        "no conda-meta/history in a package's layer",
        "it belongs to no package: the configuration layer has it",
        _without("conda-meta/history"),
    ),
    Difference(
        "no directories that nothing is in",
        "rattler leaves those of a clobbered file behind, by the luck of its threads, and no "
        "package lists them",
        _without_empty_directories,
    ),
)


def intended(prefix: Prefix) -> Prefix:
    """Rattler's tree as we mean to make it."""
    for difference in DIFFERENCES:
        prefix = difference.apply(prefix)
    return prefix


def unexplained(theirs: Prefix, ours: Prefix) -> list[str]:
    """One line for each path where the two still differ once all rules are applied."""
    want = intended(theirs)
    have = _without_empty_directories(_records(_sorted_rows)(ours))
    return _unequal(want, have)


def _told(want: Node | None, have: Node | None) -> str:
    if want and have and want.kind == have.kind == "record":
        keys = want.record.keys() | have.record.keys()
        rows = [
            f"{key}: {want.record.get(key)!r:.2000} got {have.record.get(key)!r:.2000}"
            for key in sorted(keys)
            if want.record.get(key) != have.record.get(key)
        ]
        return "\n    ".join(rows)
    return f"{want!r:.600} got {have!r:.600}"


def besides_bytecode(plain: Prefix, compiled: Prefix) -> list[str]:
    """One line for each path that a compiler changed, other than by adding bytecode."""
    added = {path for path in compiled.keys() - plain.keys() if source_path(path) in compiled}
    want, have = (_unlisted(added)(each) for each in (plain, compiled))
    return _unequal(want, _without_empty_directories(have))


def _unequal(want: Prefix, have: Prefix) -> list[str]:
    return [
        f"{path}: want {_told(want.get(path), have.get(path))}"
        for path in sorted(want.keys() | have.keys())
        if want.get(path) != have.get(path)
    ]
