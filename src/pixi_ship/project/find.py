"""Find the files that are to be taken along; contents are not read, but for credentials.

The walk does not recurse and follows no link to a directory, so neither depth nor cycles
matter; entries come in bytewise order, whatever the filesystem gives.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pixi_ship.errors import ProjectError
from pixi_ship.gitignore.rules import GitRules, git_rules, read_rules
from pixi_ship.gitignore.wildcard import wildcard_regex
from pixi_ship.project.credentials import HEAD, credential
from pixi_ship.project.dockerignore import DockerRules, docker_rules
from pixi_ship.project.include import APP, Include, check_dest
from pixi_ship.project.links import LinkTargets

ALWAYS = frozenset({".git", ".pixi", "__pycache__"})
# What a file must not be put in the place of: all of the environment or of the base would go.
_DIRECTORIES = frozenset(
    {APP, "ch", "etc", "home", "opt", "root", "run", "srv", "tmp", "usr", "var"}
)
_WHITEOUT = ".wh."  # OCI image-spec 1.1, layer.md
_SHOWN = 20  # paths in one message
_WILD = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a person can mean: more is a mistake, or data that belongs elsewhere."""

    files: int = 1_000_000
    size: int = 64 << 30  # bytes


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to ship: ``dest`` is relative to the image's root.

    size: in bytes, as found. target: of a link, None for a regular file.
    """

    source: Path
    dest: str
    mode: int
    size: int
    target: str | None = None


@dataclass(frozen=True, slots=True)
class FoundProject:
    """Everything to ship, by dest bytewise; ``ignored`` counts what rules left out.

    A directory that is left out counts once, whatever is in it.
    """

    files: tuple[FoundFile, ...]
    ignored: int

    @property
    def size(self) -> int:
        """Bytes of all regular files."""
        return sum(file.size for file in self.files)

    def has(self, path: str) -> bool:
        """Whether a path relative to the workspace is there in the image, or one below it."""
        dest = f"{APP}/{path}"
        return any(each.dest == dest or each.dest.startswith(f"{dest}/") for each in self.files)


NO_FILES = FoundProject((), 0)


@dataclass(slots=True)
class _Finder:
    """What is known while includes are walked one after the other."""

    root: Path
    docker: DockerRules
    own: frozenset[Path]
    reserved: frozenset[str]
    limits: Limits
    files: dict[str, FoundFile] = field(default_factory=dict)
    links: dict[str, Path] = field(default_factory=dict)
    named: set[Path] = field(default_factory=set)
    secrets: dict[Path, str] = field(default_factory=dict)
    left_out: set[Path] = field(default_factory=set)
    size: int = 0


def find_files(
    root: Path, manifest: str, includes: Sequence[Include], limits: Limits | None = None
) -> FoundProject:
    """Find what the includes name; raises ProjectError, or UsageError for a DEST.

    root: the workspace, absolute. manifest: its file name; it and ``pixi.lock`` are in every
    image already, without credentials, and are left to that.
    """
    if not root.is_absolute():
        raise ValueError(f"want an absolute path of the workspace, got {str(root)!r}")
    finder = _Finder(
        root,
        docker_rules(read_rules(root / ".dockerignore")),
        frozenset({root / manifest, root / "pixi.lock"}),
        frozenset({f"{APP}/{manifest}", f"{APP}/pixi.lock"}),
        limits or Limits(),
    )
    for include in includes:
        _take(finder, include)
    secrets = {path: why for path, why in finder.secrets.items() if path not in finder.named}
    if secrets:
        raise _shows_secrets(root, secrets)
    _check_below_files(finder)
    _resolve_links(finder)
    files = sorted(finder.files.values(), key=lambda file: os.fsencode(file.dest))
    return FoundProject(tuple(files), len(finder.left_out))


def _take(finder: _Finder, include: Include) -> None:
    source = Path(os.path.normpath(finder.root / include.path))
    inside = source == finder.root or finder.root in source.parents
    if not inside and include.dest is None:
        raise ProjectError(
            f"including {include.path!r}: it is outside the workspace {finder.root}",
            hint=f"say where it goes in the image: --include {include.path}:DEST",
        )
    if not os.path.lexists(source) and set(include.path) & _WILD:
        base, pattern = _divided(finder.root, include.path)
        matches = _matches(include, base, pattern)
        _take_all(finder, include, base, _walk(finder, base, inside=inside), matches)
        return
    kind = _named_kind(finder, include, source, inside=inside)
    if kind == stat.S_IFDIR:
        _take_all(finder, include, source, _walk(finder, source, inside=inside), _everything)
        return
    dest = _dest(finder, include, source)
    if include.into:
        dest = f"{dest}/{source.name}"
    # A link is followed once, here; what is read later must be no link.
    source = source.resolve() if source.is_symlink() else source
    finder.named.add(source)
    _add(finder, include, source, dest, source.stat())


def _dest(finder: _Finder, include: Include, source: Path) -> str:
    """Where something goes that is named itself."""
    if include.dest is not None:
        return include.dest
    return os.path.normpath(f"{APP}/{os.path.relpath(source, finder.root)}")


def _everything(below: bytes) -> bool:
    return True


def _take_all(
    finder: _Finder,
    include: Include,
    base: Path,
    paths: Iterator[tuple[Path, os.stat_result]],
    wanted: Callable[[bytes], bool],
) -> None:
    """Add what lies below a directory; raises ProjectError where nothing does."""
    dest = _dest(finder, include, base)
    taken = False
    for path, found in paths:
        below = _below(path, base)
        if wanted(os.fsencode(below)):
            _add(finder, include, path, f"{dest}/{below}", found)
            taken = True
    if not taken:
        raise ProjectError(
            f"including {include.path!r}: no file is left, {len(finder.left_out)} are ignored",
            hint="rules are in .gitignore and .dockerignore; a file named itself is taken anyway",
        )


def _divided(root: Path, path: str) -> tuple[Path, str]:
    """The directory that a pattern is for, and the pattern."""
    parts = path.split("/")
    first = next(place for place, part in enumerate(parts) if set(part) & _WILD)
    above = "/".join(parts[:first]) or ("/" if path.startswith("/") else ".")
    return Path(os.path.normpath(root / above)), "/".join(parts[first:])


def _matches(include: Include, base: Path, pattern: str) -> Callable[[bytes], bool]:
    """Whether a pattern matches a path below its directory, or a directory above that path."""
    regex = wildcard_regex(os.fsencode(pattern.rstrip("/")), hidden=False)
    if regex is None or not base.is_dir():
        raise ProjectError(f"including {include.path!r}: nothing matches the pattern")
    compiled = regex

    def wanted(below: bytes) -> bool:
        parts = below.split(b"/")
        return any(compiled.fullmatch(b"/".join(parts[: end + 1])) for end in range(len(parts)))

    return wanted


def _named_kind(finder: _Finder, include: Include, source: Path, *, inside: bool) -> int:
    """The kind of a file that is named itself; a link to within the workspace is followed."""
    try:
        found = source.stat()
        real = source.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "its links run in a circle"
        raise ProjectError(
            f"including {include.path!r}: {source}: {reason}",
            hint="paths are relative to the workspace",
        ) from None
    home = finder.root.resolve()
    if inside and real != home and home not in real.parents:
        raise ProjectError(
            f"including {include.path!r}: it leads through a link to {real}, outside the workspace",
            hint=f"name that, and its place: --include {real}:{include.path}",
        )
    kind = stat.S_IFMT(found.st_mode)
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        raise _special(include, source, kind)
    return kind


def _walk(finder: _Finder, top: Path, *, inside: bool) -> Iterator[tuple[Path, os.stat_result]]:
    """Files and links below a directory, without what is ignored; nothing is sorted here."""
    rules, place = git_rules(top, finder.root)
    waiting: list[tuple[Path, bytes, GitRules]] = [(top, place, rules)]
    while waiting:
        directory, prefix, rules = waiting.pop()
        try:
            with os.scandir(directory) as entries:
                children = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            raise ProjectError(f"reading {str(directory)!r}: {error.strerror}") from error
        for entry in children:
            path = directory / entry.name
            name = os.fsencode(entry.name)
            below = prefix + b"/" + name if prefix else name
            is_directory = entry.is_dir(follow_symlinks=False)
            if entry.name in ALWAYS or path in finder.own:
                continue
            if rules.ignores(below, is_directory=is_directory) or _docker_ignores(
                finder, path, inside=inside, is_directory=is_directory
            ):
                finder.left_out.add(path)
            elif is_directory:
                data = read_rules(path / ".gitignore")
                waiting.append((path, below, rules.below(below, data) if data else rules))
            else:
                yield path, _status(entry)


def _status(entry: os.DirEntry[str]) -> os.stat_result:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError as error:
        raise ProjectError(f"reading {entry.path!r}: {error.strerror}") from error


def _docker_ignores(finder: _Finder, path: Path, *, inside: bool, is_directory: bool) -> bool:
    if not inside or not finder.docker.patterns:
        return False
    # A line that brings files back may name one below a directory that is left out.
    if is_directory and finder.docker.brings_back:
        return False
    return finder.docker.ignores(_below(path, finder.root))


def _add(finder: _Finder, include: Include, source: Path, dest: str, found: os.stat_result) -> None:
    try:
        dest.encode()
    except UnicodeEncodeError:
        raise ProjectError(
            f"including {str(source.parent)!r}: the name {os.fsencode(source.name)!r} is not UTF-8",
            hint="rename it, or leave it out in .gitignore or .dockerignore",
        ) from None
    check_dest(dest, str(include))
    if any(part.startswith(_WHITEOUT) for part in dest.split("/")):
        raise ProjectError(
            f"including {include.path!r}: {f'/{dest}'!r} is a name that hides others in a layer",
            hint="rename it, or leave it out in .gitignore or .dockerignore",
        )
    if dest in _DIRECTORIES:
        raise ProjectError(
            f"including {include.path!r}: /{dest} is a directory of the image, not a file",
            hint=f"put it into the directory: {include.path}:/{dest}/",
        )
    if dest in finder.reserved:
        raise ProjectError(
            f"including {include.path!r}: /{dest} is in every image already",
            hint="the image's own is without credentials; put another beside it with PATH:DEST",
        )
    other = finder.files[dest].source if dest in finder.files else finder.links.get(dest)
    if other == source:
        return
    if other is not None:
        raise ProjectError(
            f"including {include.path!r}: {str(source)!r} and {str(other)!r} "
            f"would both be {f'/{dest}'!r}",
            hint="give one of them another place with PATH:DEST",
        )
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFLNK:
        finder.links[dest] = source
    elif kind == stat.S_IFREG:
        mode = 0o755 if found.st_mode & stat.S_IXUSR else 0o644
        finder.files[dest] = FoundFile(source, dest, mode, found.st_size)
        finder.size += found.st_size
        if why := credential(_shown(finder.root, source), lambda: _head(source)):
            finder.secrets[source] = why
    else:
        raise _special(include, source, kind)
    _check_limits(finder, include)


def _check_limits(finder: _Finder, include: Include) -> None:
    if len(finder.files) + len(finder.links) > finder.limits.files:
        raise ProjectError(
            f"including {include.path!r}: more than {finder.limits.files} files",
            hint="name what the job needs, or leave the rest out in .dockerignore",
        )
    if finder.size > finder.limits.size:
        raise ProjectError(
            f"including {include.path!r}: more than {finder.limits.size >> 30} GiB",
            hint="let jobs mount data, and leave it out in .dockerignore",
        )


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError as error:
        raise ProjectError(f"reading {str(path)!r}: {error.strerror}") from error


def _special(include: Include, source: Path, kind: int) -> ProjectError:
    names = {
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return ProjectError(
        f"including {include.path!r}: {str(source)!r} is {names.get(kind, 'no file')}",
        hint="leave it out in .gitignore or .dockerignore",
    )


def _shown(root: Path, path: Path) -> str:
    return _below(path, root)


def _below(path: Path, above: Path) -> str:
    """A path relative to a directory above it; itself where it is not below."""
    return str(path).removeprefix(str(above).rstrip("/") + "/")


def _shows_secrets(root: Path, secrets: dict[Path, str]) -> ProjectError:
    rows = [f"{_shown(root, path)!r} ({why})" for path, why in sorted(secrets.items())]
    more = f", and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return ProjectError(
        f"including files: {len(rows)} look like credentials, which everybody with the image "
        f"could read: {', '.join(rows[:_SHOWN])}{more}",
        hint="leave them out in .gitignore or .dockerignore, and mount them where the job runs; "
        "one that is none is taken if it is named by itself: --include PATH",
    )


def _check_below_files(finder: _Finder) -> None:
    """Raise ProjectError where one include wants a file and another a directory."""
    for dest in (*finder.files, *finder.links):
        position = dest.find("/")
        while position != -1:
            above = dest[:position]
            if above in finder.files or above in finder.links:
                raise ProjectError(
                    f"including files: {f'/{above}'!r} would be a file, "
                    f"and a directory for {f'/{dest}'!r}",
                    hint="give one of them another place with PATH:DEST",
                )
            position = dest.find("/", position + 1)


def _resolve_links(finder: _Finder) -> None:
    sources = {file.source: dest for dest, file in finder.files.items()}
    sources.update({source: dest for dest, source in finder.links.items()})
    targets = LinkTargets(sources)
    for dest, source in finder.links.items():
        target = targets.target(source, dest)
        finder.files[dest] = FoundFile(source, dest, 0o777, 0, target)
