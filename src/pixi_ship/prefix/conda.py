"""A conda package as a tree: each file where rattler would link it, relocated."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pixi_ship.errors import PackageError
from pixi_ship.lock.model import CondaPackage
from pixi_ship.package.archive import CondaArchive
from pixi_ship.package.metadata import CondaMetadata, FileMode, PathsEntry, read_metadata
from pixi_ship.prefix.ahead import Later, in_order
from pixi_ship.prefix.bytecode import (
    MAX_SOURCE,
    Compiler,
    cache_path,
    source_path,
    without_time,
)
from pixi_ship.prefix.layout import Placement, PrefixLayout
from pixi_ship.prefix.placeholder import replace_binary, replace_text
from pixi_ship.prefix.python import PythonInfo, entry_point_script
from pixi_ship.prefix.record import InstalledPath, prefix_record, record_name
from pixi_ship.tar_stream import Member
from pixi_ship.tree import Directory, Entry, File, Hardlink, Symlink, checked_path, readable_mode

MAX_TEXT_FILE = 256 << 20  # bytes; a text file is relocated in memory
_ENTRY_POINT_MODE = 0o755


def installed_paths(metadata: CondaMetadata, python: PythonInfo | None) -> tuple[str, ...]:
    """The paths a package writes in the prefix, entry points included, directories not."""
    rows = [each.path for each in metadata.paths if each.path_type != "directory"]
    if metadata.noarch != "python" or python is None:
        return tuple(rows)
    commands = [f"bin/{each.command}" for each in metadata.entry_points]
    return tuple([python.noarch_path(path) for path in rows] + commands)


class CondaTree:
    """The tree of one conda archive in a prefix; implements :class:`pixi_ship.tree.Tree`."""

    def __init__(
        self,
        package: CondaPackage,
        archive: Path,
        layout: PrefixLayout,
        placement: Placement,
        url: str,
    ) -> None:
        self._package = package
        self._archive = archive
        self._layout = layout
        self._placement = placement
        self._url = url

    def entries(self) -> Iterator[Entry]:
        """Files in the archive's order, then entry points, then the prefix record."""
        archive = CondaArchive(self._archive, self._package.file_name)
        metadata = read_metadata(archive)
        link = _Link(self._package.file_name, archive, metadata, self._layout, self._placement)
        yield from in_order(link.payload())
        yield from link.entry_points()
        record = prefix_record(
            self._package.metadata,
            link.installed,
            file_name=self._package.file_name,
            url=self._url,
        )
        path = f"conda-meta/{record_name(self._package.metadata)}"
        yield File(self._layout.in_image(path), 0o644, len(record), (record,))


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file of the archive, or (``link``) a symbolic link, that hard links can name."""

    path: str
    mode: int = 0
    size: int = 0
    link: str | None = None


class _Link:
    """One pass over an archive: what is seen on the way ends up in the prefix record."""

    def __init__(
        self,
        name: str,
        archive: CondaArchive,
        metadata: CondaMetadata,
        layout: PrefixLayout,
        placement: Placement,
    ) -> None:
        if metadata.noarch == "python" and layout.python is None:
            raise PackageError(
                name,
                "it is a noarch python package, and the environment has no python",
                hint="add python to the environment and run 'pixi lock'",
            )
        self._name = name
        self._archive = archive
        self._metadata = metadata
        self._layout = layout
        self._placement = placement
        self._rows = {row.path: row for row in metadata.paths}
        self._seen: dict[str, _Seen] = {}  # files and links passed, for hard links to them
        self._done: dict[str, InstalledPath] = {}
        # An entry point is written last, and so replaces a script of the package itself.
        self._commands = {f"bin/{each.command}" for each in metadata.entry_points}

    @property
    def installed(self) -> list[InstalledPath]:
        """Rows of the prefix record, ordered by path as rattler does."""
        return sorted(self._done.values(), key=lambda row: row.path.split("/"))

    def payload(self) -> Iterator[Entry | Later]:
        with self._archive.payload() as members:
            for member in members:
                try:
                    path = checked_path(member.name)
                except ValueError as error:
                    if member.name in (".", "./") and member.kind == "directory":
                        continue
                    raise PackageError(self._name, f"{error} in the archive") from None
                row = self._rows.get(path)
                if member.kind == "file":
                    self._seen[path] = _Seen(path, member.mode, member.size)
                elif member.kind == "symlink":
                    self._seen[path] = _Seen(path, link=member.link)
                elif member.kind == "hardlink":
                    self._seen[path] = self._linked(path, member.link)
                if row is not None:
                    yield from self._member(row, member)
        missing = [
            row.path
            for row in self._metadata.paths
            if row.path not in self._done
            and row.path_type != "directory"
            and not self._is_stale_bytecode(row.path)
        ]
        if missing:
            raise PackageError(
                self._name, f"info/paths.json lists {missing[0]!r}, which is not in the archive"
            )
        for row in self._metadata.paths:
            if row.path_type == "directory" and row.path not in self._done:
                yield Directory(self._layout.in_image(self._target(row.path)))

    def entry_points(self) -> Iterator[Entry]:
        python = self._layout.python
        if python is None or self._metadata.noarch != "python":
            return
        for entry_point in self._metadata.entry_points:
            target = f"bin/{entry_point.command}"
            script = entry_point_script(entry_point, python, self._layout.prefix)
            placed = self._placed(target)
            if placed is None:
                continue
            self._done[f"\0{target}"] = InstalledPath(
                path=placed,
                path_type="unix_python_entry_point",
                original_path=target if placed != target else None,
                sha256=hashlib.sha256(script).hexdigest(),
                size=len(script),
            )
            yield File(self._layout.in_image(placed), _ENTRY_POINT_MODE, len(script), (script,))

    def _target(self, path: str) -> str:
        python = self._layout.python
        if self._metadata.noarch == "python" and python is not None:
            return python.noarch_path(path)
        return path

    def _placed(self, target: str) -> str | None:
        """Where a path of the prefix ends up; None where a wheel replaces it."""
        if target in self._placement.dropped:
            return None
        return self._placement.moved.get(target, target)

    def _member(self, row: PathsEntry, member: Member) -> Iterator[Entry | Later]:
        if self._is_stale_bytecode(row.path):
            return  # compiled anew from the relocated source, which came before it or comes yet
        if row.path in self._done:
            raise PackageError(self._name, f"the archive holds {row.path!r} twice")
        if row.path_type == "directory" and member.kind != "directory":
            raise PackageError(
                self._name,
                f"info/paths.json says {row.path!r} is a directory, "
                f"in the archive it is a {member.kind}",
            )
        target = self._target(row.path)
        placed = self._placed(target)
        if placed is None or target in self._commands:
            # The record still lists it, as it does after something was laid over it.
            self._done[row.path] = _installed(row, target, target)
            return
        if member.kind == "directory":
            self._done[row.path] = _installed(row, placed, target)
            yield Directory(self._layout.in_image(placed))
        elif member.kind == "symlink":
            yield self._symlink(row, member.link, placed, target)
        elif member.kind == "hardlink":
            yield from self._hardlink(row, member.link, placed, target)
        else:
            yield from self._file(row, member.chunks(), member.mode, member.size, placed)

    def _symlink(self, row: PathsEntry, link: str, placed: str, target: str) -> Entry:
        digest = hashlib.sha256(link.encode()).hexdigest()
        size = row.size if row.size is not None else len(link.encode())
        self._done[row.path] = _installed(row, placed, target, digest, size, "softlink")
        return Symlink(self._layout.in_image(placed), link)

    def _linked(self, path: str, link: str) -> _Seen:
        try:
            return self._seen[checked_path(link)]
        except (ValueError, KeyError):
            raise PackageError(
                self._name, f"{path!r} is a hard link to {link!r}, which came not before it"
            ) from None

    def _hardlink(
        self, row: PathsEntry, link: str, placed: str, target: str
    ) -> Iterator[Entry | Later]:
        seen = self._seen[row.path]
        if seen.link is not None:
            yield self._symlink(row, seen.link, placed, target)
            return
        source = self._rows.get(seen.path)
        first = self._done.get(seen.path)
        same = source is not None and source.prefix_placeholder == row.prefix_placeholder
        is_plain = not row.path.endswith((".py", ".pyc"))
        if source and first and same and is_plain and self._is_laid_out(source):
            self._done[row.path] = _installed(
                row, placed, target, first.sha256_in_prefix or first.sha256, first.size
            )
            yield Hardlink(self._layout.in_image(placed), self._layout.in_image(first.path))
            return
        # Relocated in another way than the file it links to: read that one again.
        with self._archive.payload() as members:
            for member in members:
                if member.kind == "file" and checked_path(member.name) == seen.path:
                    yield from self._file(row, member.chunks(), seen.mode, seen.size, placed)
                    return

    def _is_laid_out(self, row: PathsEntry) -> bool:
        target = self._target(row.path)
        return target not in self._commands and self._placed(target) is not None

    def _file(
        self, row: PathsEntry, chunks: Iterable[bytes], mode: int, size: int, placed: str
    ) -> Iterator[Entry | Later]:
        target = self._target(row.path)
        content, size = self._relocated(row, chunks, size)
        if target.endswith(".pyc") and source_path(target):
            content = without_time(content)
        source: bytes | None = None
        if self._wants_bytecode(row, target, size):
            source = b"".join(content)
            content = (source,)
        changed = row.prefix_placeholder is not None or target.endswith(".pyc")
        image_path = self._layout.in_image(placed)
        if changed or row.sha256 is None:
            digest = hashlib.sha256()
            yield File(image_path, readable_mode(mode), size, _hashed(content, digest.update))
            in_prefix: str | None = digest.hexdigest()
        else:
            yield File(image_path, readable_mode(mode), size, content)
            in_prefix = None
        self._done[row.path] = _installed(row, placed, target, in_prefix, size)
        if source is not None and self._layout.compiler is not None:
            yield self._bytecode(self._layout.compiler, row, target, placed, source)

    def _relocated(
        self, row: PathsEntry, chunks: Iterable[bytes], size: int
    ) -> tuple[Iterable[bytes], int]:
        slot = row.prefix_placeholder
        if slot is None:
            return chunks, size
        placeholder, prefix = slot.placeholder.encode(), self._layout.prefix.encode()
        if slot.file_mode is FileMode.BINARY:
            replaced = replace_binary(
                chunks, placeholder, prefix, package=self._name, path=row.path
            )
            return replaced, size
        if size > MAX_TEXT_FILE:
            raise PackageError(self._name, f"{row.path!r} is a text file of {size} bytes")
        text = replace_text(b"".join(chunks), placeholder, prefix)
        return (text,), len(text)

    def _wants_bytecode(self, row: PathsEntry, target: str, size: int) -> bool:
        compiler = self._layout.compiler
        if compiler is None or size > MAX_SOURCE or not self._layout.is_python_code(target):
            return False
        if self._placed(target) != target:
            return False
        shipped = cache_path(row.path, compiler.interpreter.cache_tag)
        return shipped not in self._rows or row.prefix_placeholder is not None

    def _bytecode(
        self, compiler: Compiler, row: PathsEntry, target: str, placed: str, source: bytes
    ) -> Later:
        asked = compiler.begin(source, f"{self._layout.prefix}/{placed}")
        cache_tag = compiler.interpreter.cache_tag

        def entry() -> Entry | None:
            pyc = asked.get()
            if pyc is None:
                return None
            path = cache_path(target, cache_tag)
            listed = self._rows.get(cache_path(row.path, cache_tag))
            if listed is not None:
                digest = hashlib.sha256(pyc).hexdigest()
                self._done[listed.path] = _installed(listed, path, path, digest, len(pyc))
            return File(self._layout.in_image(path), 0o644, len(pyc), (pyc,))

        return Later(len(source), entry)

    def _is_stale_bytecode(self, path: str) -> bool:
        """Whether ``path`` is bytecode of a source that relocation changes."""
        source = source_path(path)
        row = self._rows.get(source) if source else None
        return row is not None and row.prefix_placeholder is not None


def _hashed(chunks: Iterable[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for chunk in chunks:
        update(chunk)
        yield chunk


def _installed(
    row: PathsEntry,
    placed: str,
    target: str,
    sha256: str | None = None,
    size: int | None = None,
    path_type: str | None = None,
) -> InstalledPath:
    slot = row.prefix_placeholder
    return InstalledPath(
        path=placed,
        path_type=row.path_type or path_type or "hardlink",
        no_link=row.no_link,
        original_path=target if placed != target else None,
        sha256=row.sha256,
        sha256_in_prefix=sha256 if sha256 != row.sha256 else None,
        size=size if size is not None else row.size,
        file_mode=slot.file_mode.value if slot else None,
        prefix_placeholder=slot.placeholder if slot else None,
    )
