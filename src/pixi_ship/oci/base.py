"""What a base image offers an environment: its C library and its shells."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pixi_ship.errors import ImageError
from pixi_ship.oci.blob import Layer
from pixi_ship.oci.decompress import Unpacked, decompressed
from pixi_ship.tar_stream import Member, TarError, members

_MAX_UNPACKED = 256 << 30
_GLIBC = re.compile(rb"GNU C Library [^\n\0]*?(?:stable|development) release version (\d+\.\d+)")
_LIBC = re.compile(r"(?:^|/)(?:libc\.so\.6|libc-2\.\d+\.so)$")
_SHELLS = {"bin/sh": "sh", "usr/bin/sh": "sh", "bin/bash": "bash", "usr/bin/bash": "bash"}


@dataclass(frozen=True, slots=True)
class LayerContents:
    """What one layer of a base brings; ``glibc`` is a version such as ``2.36``."""

    glibc: str | None
    has_sh: bool
    has_bash: bool


def inspect_layer(layer: Layer) -> LayerContents:
    """Read one layer through; raises ImageError for a damaged one."""
    glibc, shells = None, set()
    try:
        for member in members(
            Unpacked(decompressed(layer.blob)), limit=_MAX_UNPACKED, lenient=True
        ):
            name = member.name.removeprefix("./").lstrip("/")
            if member.kind == "file" and _LIBC.search(name):
                glibc = _glibc_version(member) or glibc
            if name in _SHELLS and member.kind != "directory":
                shells.add(_SHELLS[name])
    except TarError as error:
        raise ImageError(f"reading layer {layer.descriptor.digest}: {error}") from error
    return LayerContents(glibc, "sh" in shells, "bash" in shells)


def _glibc_version(member: Member) -> str | None:
    if member.size > 64 << 20:
        return None
    match = _GLIBC.search(member.read())
    return match[1].decode() if match else None
