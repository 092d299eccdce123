"""Which filesystem a path is on, and whether other machines may see it too.

Source: proc(5), ``/proc/PID/mountinfo``.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_OCTAL = re.compile(r"\\([0-7]{3})")
_NETWORK = frozenset(
    {
        *("nfs", "nfs3", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "cifs", "smb3", "afs"),
        *("9p", "virtiofs", "panfs", "pvfs2", "orangefs", "glusterfs", "wekafs", "gfs2", "ocfs2"),
        *("daos", "mmfs", "vastfs", "cvmfs2", "sshfs"),
    }
)


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted filesystem: where, and its kind as the kernel names it."""

    point: PurePosixPath
    kind: str

    @property
    def is_shared(self) -> bool:
        """Whether it comes over a network, so that nodes may have it as well."""
        # FUSE filesystems say what they are after a dot: fuse.sshfs, fuse.glusterfs.
        return self.kind.removeprefix("fuse.") in _NETWORK


def parse_mounts(mountinfo: str) -> list[Mount]:
    """Every mount that the text lists, in its order; lines that are none are left out."""
    found = []
    for line in mountinfo.splitlines():
        before, dash, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if dash and len(fields) >= 6:
            point = _OCTAL.sub(lambda each: chr(int(each[1], 8)), fields[4])
            found.append(Mount(PurePosixPath(point), kinds[0]))
    return found


def mount_of(path: PurePosixPath, mounts: list[Mount]) -> Mount | None:
    """The mount that an absolute path is on: the deepest, and of those at one point the last."""
    above = [each for each in mounts if path.is_relative_to(each.point)]
    deepest = max((len(each.point.parts) for each in above), default=0)
    return next((each for each in reversed(above) if len(each.point.parts) == deepest), None)


def existing(path: Path) -> Path:
    """The path, or of those above it the first that there is."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def free_bytes(path: Path) -> int | None:
    """What is free where a path is, or will be; None where nobody can say."""
    try:
        return shutil.disk_usage(existing(path)).free
    except OSError:
        return None
