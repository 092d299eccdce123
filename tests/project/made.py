"""Workspaces of a few files, made for one test, and what is found in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pixi_ship.project.find import FoundProject, Limits, find_files
from pixi_ship.project.include import parse_include


def make(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below ``root``; a workspace's manifest and lock come with them."""
    for name, content in {
        "pixi.toml": "[workspace]\n",
        "pixi.lock": "version: 6\n",
        **files,
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def find(root: Path, *includes: str, limits: Limits | None = None) -> FoundProject:
    """Find what ``--include`` words name."""
    return find_files(root, "pixi.toml", [parse_include(each) for each in includes], limits)


def dests(found: FoundProject) -> list[str]:
    """Where the files would be, in order."""
    return [file.dest for file in found.files]
