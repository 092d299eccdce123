"""What scripts changed below a prefix, as a tree for a layer.

Nobody has looked at a script, so what it leaves is bounded in depth, number and size before any of
it is read, and none of its links is followed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pixi_ship.errors import ActivationError
from pixi_ship.tree import Entry, File, Symlink, parents, readable_mode

# Every file and link below a prefix, by what no change leaves as it was: inode, mode, size, ctime.
Survey = Mapping[str, tuple[int, int, int, int]]

_WHITEOUT = ".wh."  # OCI image-spec 1.1, layer.md
_MAX_DEPTH = 128  # directories in each other; node_modules, the deepest known, stay below 40
_MAX_PATH = 3000  # bytes below the prefix: with the cache's own path still less than PATH_MAX
_MAX_ENTRIES = 500_000  # the largest packages there are have a tenth
_MAX_ADDED = 4 << 30  # bytes; more would be data, which no layer is for
_READABLE = stat.S_IRUSR | stat.S_IXUSR
_BLOCK = 1 << 20


def survey(prefix: Path, name: str) -> Survey:
    """Look at all that is below the prefix; name: of the package whose script was run last.

    Raises ActivationError for more than the limits, and for a directory that nobody could enter;
    OSError.
    """
    found: dict[str, tuple[int, int, int, int]] = {}
    seen, waiting = 0, [("", 0)]
    # No recursion: the depth is the script's to choose.
    while waiting:
        above, depth = waiting.pop()
        _check_directory(prefix / above, above, depth, name)
        with os.scandir(prefix / above) as entries:
            for each in entries:
                path = f"{above}/{each.name}" if above else each.name
                facts = each.stat(follow_symlinks=False)
                if (seen := seen + 1) > _MAX_ENTRIES:
                    raise refused(name, f"leaves more than {_MAX_ENTRIES} files and directories")
                if len(os.fsencode(path)) > _MAX_PATH:
                    raise refused(name, f"leaves a path of more than {_MAX_PATH} bytes")
                if stat.S_ISDIR(facts.st_mode):
                    waiting.append((path, depth + 1))
                else:
                    row = (facts.st_ino, facts.st_mode, facts.st_size, facts.st_ctime_ns)
                    found[path] = row
    return found


def _check_directory(place: Path, path: str, depth: int, name: str) -> None:
    if depth > _MAX_DEPTH:
        raise refused(name, f"leaves directories more than {_MAX_DEPTH} deep")
    # For root too, or what is a layer here would be none for others.
    if place.lstat().st_mode & _READABLE != _READABLE:
        shown = printable(path) or "the prefix"
        raise refused(name, f"leaves {shown!r}, a directory that even its owner cannot read")


@dataclass(frozen=True, slots=True)
class LinkChanges:
    """What scripts changed below the prefix: a tree, while the prefix is there; and messages.

    places: path below the image's root → the file that is new there, None for what is gone.
    """

    places: Mapping[str, Path | None]
    notes: tuple[str, ...]

    def entries(self) -> Iterator[Entry]:
        """New and changed files by path, each whole; what is gone as whiteouts."""
        for path in sorted(self.places):
            place = self.places[path]
            if place is None:
                above, _, name = path.rpartition("/")
                yield File(f"{above}/{_WHITEOUT}{name}", 0o644, 0, ())
            elif place.is_symlink():
                yield Symlink(path, str(place.readlink()))
            else:
                facts = place.lstat()
                yield File(path, readable_mode(facts.st_mode), facts.st_size, _content(place))


def _content(place: Path) -> Iterator[bytes]:
    handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(handle, "rb") as file:
        while block := file.read(_BLOCK):
            yield block


def changed(prefix: Path, before: Survey, after: Survey, name: str) -> dict[str, Path | None]:
    """The files that are new or changed, by path below the prefix, and None for those gone.

    Raises ActivationError for what cannot be in a layer; OSError.
    """
    found: dict[str, Path | None] = dict.fromkeys(before.keys() - after.keys())
    size = 0
    for path, facts in after.items():
        if before.get(path) == facts:
            continue
        place = prefix / path
        if (fault := _fault(path, place, facts[1])) is not None:
            raise refused(name, f"leaves {printable(path)!r}, {fault}")
        if stat.S_ISREG(facts[1]) and not facts[1] & stat.S_IRUSR:
            # It is readable in the layer; who is not root has to make it so here.
            place.chmod(stat.S_IMODE(facts[1]) | stat.S_IRUSR)
        size += facts[2]
        found[path] = place
    if size > _MAX_ADDED:
        raise refused(name, f"writes {size} bytes, at most {_MAX_ADDED} are taken")
    return _without_shadowed(found, after)


def _fault(path: str, place: Path, mode: int) -> str | None:
    """Why something cannot be in a layer, if that is so."""
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        return "which is neither a file nor a link"
    if not _is_text(path):
        return "whose name is no UTF-8"
    if stat.S_ISLNK(mode) and not _is_text(str(place.readlink())):
        return "a link to a path that is no UTF-8"
    if any(part.startswith(_WHITEOUT) for part in path.split("/")):
        return "a name that hides others in a layer"
    return None


def _is_text(path: str) -> bool:
    return not any("\ud800" <= each <= "\udfff" for each in path)


def _without_shadowed(found: Mapping[str, Path | None], after: Survey) -> dict[str, Path | None]:
    """Leave out whiteouts below what is a file or link by now: the layer's entry hides them."""
    return {
        path: place
        for path, place in found.items()
        if place is not None or not any(above in after for above in parents(path))
    }


def unlike(one: LinkChanges, other: LinkChanges) -> list[str]:
    """The paths, sorted, at which two runs left something else; raises OSError."""
    paths = sorted(one.places.keys() | other.places.keys())
    return [
        path
        for path in paths
        if path not in one.places
        or path not in other.places
        or _facts(one.places[path]) != _facts(other.places[path])
    ]


def _facts(place: Path | None) -> object:
    """What of a file is in a layer."""
    if place is None:
        return None
    if place.is_symlink():
        return str(place.readlink())
    digest = hashlib.sha256()
    for block in _content(place):
        digest.update(block)
    return readable_mode(place.lstat().st_mode), digest.digest()


def refused(name: str, what: str) -> ActivationError:
    """What is said where a package's script does more than can be taken."""
    return ActivationError(
        f"running the post-link script of {name}: it {what}",
        hint=f"build without --run-link-scripts {name}, and tell who made the package",
    )


def printable(text: str) -> str:
    """A text of a script's for a person's terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)
