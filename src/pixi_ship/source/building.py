"""One build, from the files of a source to a wheel in its output directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pixi_ship.cache import Cache, replacing_directory
from pixi_ship.errors import SandboxError, SourceError
from pixi_ship.lock.model import PypiSource, SourceKind
from pixi_ship.prefix.bytecode import Interpreter
from pixi_ship.source.archive import unpack
from pixi_ship.source.backend import Backend, make_places
from pixi_ship.source.environment import BasePython, Installer
from pixi_ship.source.files import copy_files
from pixi_ship.source.git_location import GitLocation
from pixi_ship.source.identity import Identity, archive_of, git_of
from pixi_ship.source.scm import pretended
from pixi_ship.source.workshop import Workshop


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a backend gave, and how it came to be; gone with the directory it lies in.

    compiles: why compiled files in it are not what is wanted; None where they are. requires:
    the packages it was built with. left: files that the build left in its home. place: where it
    was built, where that is another directory for each build: without a sandbox.
    """

    path: Path
    compiles: str | None
    requires: tuple[str, ...]
    left: tuple[str, ...]
    place: Path | None


@contextmanager
def building(source: PypiSource, workshop: Workshop, identity: Identity) -> Iterator[Built]:
    """Build a wheel of a source; all of the build is removed at the end of the block.

    Raises SourceError where it does not build, SandboxError where there is no sandbox.
    """
    if workshop.sandbox is None and not workshop.unconfined:
        raise SandboxError(
            f"building {source.name}: there is no bubblewrap (bwrap) here to do it apart "
            "from your files",
            hint="install bubblewrap, or let the build have your own rights with --no-sandbox",
        )
    interpreter = _interpreter(source, workshop)
    workshop.report(source.name)
    with _workplace(workshop.cache) as work:
        yield _built(source, workshop, identity, interpreter, work)


def _interpreter(source: PypiSource, workshop: Workshop) -> Interpreter:
    """A Python of the target's version, or another: pure wheels are the same by most of them."""
    for version in (workshop.python.short_version, *workshop.interpreters):
        found = workshop.interpreters.get(version)
        if found is not None:
            return found
    raise SourceError(
        f"building {source.name}: there is no Python {workshop.python.short_version} here",
        hint=f"put python{workshop.python.short_version} on PATH",
    )


@contextmanager
def _workplace(cache: Cache) -> Iterator[Path]:
    """An empty directory on the cache's disk; one that a killed build left is removed first."""
    with cache.temporary():
        pass  # the cache and its mark are there
    with replacing_directory(cache.root.absolute() / "tmp" / "build") as work:
        yield work


def _project(source: PypiSource, workshop: Workshop, identity: Identity, work: Path) -> Path:
    """Bring the files of a source to ``work/source``; returns the project's directory in it."""
    make_places(work)
    into = work / "source"
    if source.kind is SourceKind.SDIST:
        fetched = workshop.archives.get(archive_of(source))
        return unpack(fetched.path, source.file_name, into)
    if source.kind is SourceKind.DIRECTORY:
        if copy_files(list(identity.files), into) != identity.digest:
            raise SourceError(
                f"copying {source.name}: its files changed meanwhile", hint="run the same again"
            )
        return into
    if workshop.offline:
        raise SourceError(
            f"building {source.name}: its repository would be fetched, and --offline forbids it",
            hint="run once without --offline; the wheel is kept in the cache",
        )
    scratch = work / "git"
    scratch.mkdir()
    location = GitLocation.parse(source.location)
    return git_of(workshop).write_commit(location, scratch, into)


def _built(
    source: PypiSource,
    workshop: Workshop,
    identity: Identity,
    interpreter: Interpreter,
    work: Path,
) -> Built:
    python = BasePython.of(interpreter.executable, workshop.environment)
    backend = Backend(
        name=source.name,
        work=work,
        project=_project(source, workshop, identity, work),
        python=python,
        sandbox=workshop.sandbox,
        network=workshop.build_network and not workshop.offline,
        timeout=workshop.timeout,
        variables=pretended(source.name, identity.version) if identity.version else {},
    )
    installer = Installer(
        environment=workshop.environment,
        indexes=workshop.indexes,
        root=workshop.root,
        offline=workshop.offline,
        timeout=workshop.timeout,
    )
    required = backend.required()
    requires = installer.install(source.name, required, python, work / "env")
    more = backend.required_for_wheel() - required
    if more:
        (work / "env").rename(work / "env-before")
        requires = installer.install(source.name, required | more, python, work / "env")
    return Built(
        path=backend.wheel(),
        compiles=_why_not_compiled(workshop, interpreter),
        requires=requires,
        left=backend.left_behind(),
        place=work if workshop.sandbox is None else None,
    )


def _why_not_compiled(workshop: Workshop, interpreter: Interpreter) -> str | None:
    if not workshop.runs_target:
        return f"it holds compiled files, and this machine does not run {workshop.subdir}"
    if interpreter.short_version != workshop.python.short_version:
        return (
            "it holds compiled files, and the Python at hand is "
            f"{interpreter.short_version}, not {workshop.python.short_version}"
        )
    return None
