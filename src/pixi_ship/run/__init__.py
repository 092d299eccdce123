"""Run a command in an image here: bring the image into the form that the runtime takes.

podman, docker   docker:// as it is, by digest; else a docker archive that they load once
apptainer        sif: as it is; all else as a SIF, CACHE/sifs/sha256-<digest>.sif
bubblewrap       CACHE/roots/sha256-<digest>/, unpacked
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pixi_ship.activation.roots import kept_root
from pixi_ship.cache import Cache
from pixi_ship.convert import image_digest, sif_of
from pixi_ship.digest import Digest
from pixi_ship.errors import UsageError
from pixi_ship.machine import Machine
from pixi_ship.oci.image import Image
from pixi_ship.oci.reference import Reference, Transport
from pixi_ship.oci.stored import StoredImage, parsed
from pixi_ship.oci.write import write_image
from pixi_ship.platform import Platform
from pixi_ship.progress import SILENCE, Progress
from pixi_ship.pull import cache_beside, pull
from pixi_ship.registry.registries import Registries
from pixi_ship.rootfs import unpack_layers, unpack_squashfs
from pixi_ship.runtime.engine import is_loaded, load
from pixi_ship.runtime.find import Form, FoundRuntime
from pixi_ship.runtime.image import RunnableImage, variables_of, words_of
from pixi_ship.runtime.invocation import Invocation
from pixi_ship.runtime.spec import RunSpec
from pixi_ship.selection import Options
from pixi_ship.ship import build
from pixi_ship.sif.packs import Packs
from pixi_ship.sif.stored import TRANSPORTS, StoredSif, open_sif
from pixi_ship.sif.write import write_sif_file
from pixi_ship.squashfs.format import SquashfsCompression
from pixi_ship.workspace import Workspace

_SIF_DIGEST = "sif-digest"  # the notes on files whose digest was taken, by what stat(2) says
_OWN_NAME = "localhost/pixi-ship/run"  # what images are called in an engine's store


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """Where images are made ready, and by what means.

    succeeds: runs a question to a runtime; whether it ended with 0.
    """

    cache: Cache
    registries: Registries
    platform: Platform
    workers: int
    succeeds: Callable[[Invocation], bool]
    authfile: str | None = None
    progress: Progress = SILENCE


@dataclass(frozen=True, slots=True)
class Opened:
    """An image that was looked at; reference: None for one that was built. sif: where it is one."""

    image: StoredImage
    reference: Reference | None = None
    sif: StoredSif | None = None


@dataclass(frozen=True, slots=True)
class Loading:
    """How an archive comes into an engine's store, which lacks it."""

    load: Invocation
    archive: Path


@dataclass(frozen=True, slots=True)
class Prepared:
    """The line that starts the job, once ``loading``, if there is one, was done."""

    start: Invocation
    loading: Loading | None = None


def is_sif(reference: Reference) -> bool:
    """Whether a reference names a SIF; raises UsageError for what is no image at all."""
    if reference.transport is Transport.SCRATCH:
        raise UsageError("'scratch' is a base to build on, there is nothing in it to run")
    return reference.transport in TRANSPORTS


def check_binds(spec: RunSpec) -> None:
    """Raise UsageError where something that is to be bound is not here."""
    for each in spec.mounts():
        if each.target == "/":
            raise UsageError(
                "the current directory is /, which would hide the image",
                hint="go to another directory, or say with --workdir where to start",
            )
        if not Path(each.source).exists():
            raise UsageError(
                f"binding {each.source} to {each.target}: there is no {each.source} here",
                hint="make it first, or correct --bind",
            )


def open_image(reference: Reference, at: Workbench) -> Opened:
    """Look at an image, wherever it is; raises ImageError, RegistryError, UsageError."""
    if is_sif(reference):
        sif = open_sif(reference, at.registries.sif)
        return Opened(sif.image, reference, sif)
    with at.cache.in_use(make=True):
        return Opened(at.registries.read(reference, at.platform, keep=False), reference)


def build_image(workspace: Workspace, options: Options, machine: Machine, at: Workbench) -> Opened:
    """Make the image of an environment, in the cache alone; what is there is not made again.

    Raises PixiShipError, as :func:`pixi_ship.ship.build` does.
    """
    made = build(workspace, options, at.cache, machine, at.registries, at.progress)
    (image,) = (each.assembled.image for each in made.images)
    name = f"environment {options.environment!r}"
    config = parsed(image.config, f"the config of {name}")
    stored = (image.manifest, image.config, config, image.layers, image.digest, image.digest)
    return Opened(StoredImage(name, *stored))


def prepare(opened: Opened, found: FoundRuntime, spec: RunSpec, at: Workbench) -> Prepared:
    """Bring an image into the form that its runtime takes, and say how the job is started.

    Raises ImageError, RegistryError, UsageError, DigestMismatch.
    """
    with at.cache.in_use(make=True):
        at.cache.sweep()
        ready = _FORMS[found.runtime.form](opened, found, at)
    runtime = opened.image.runtime
    image = RunnableImage(
        ready.place,
        variables_of(runtime),
        words_of(runtime, "Entrypoint"),
        words_of(runtime, "Cmd"),
        plain_http=ready.from_registry is not None and _is_plain(ready.from_registry, at),
        authfile=at.authfile if ready.from_registry else None,
    )
    return Prepared(found.runtime.command_line(found.program, image, spec), ready.loading)


@dataclass(frozen=True, slots=True)
class _Ready:
    place: str
    loading: Loading | None = None
    from_registry: Reference | None = None


def _named(opened: Opened, found: FoundRuntime, at: Workbench) -> _Ready:
    """A name that an engine knows, or can pull."""
    image, reference = opened.image, opened.reference
    if reference is not None and reference.transport is Transport.DOCKER:
        # By digest: an engine that has an older image under this tag would not look again.
        return _Ready(f"{reference.path}@{image.digest}", from_registry=reference)
    config = Digest.of(image.raw_config).hex
    name = f"{_OWN_NAME}:{config}"
    archive = at.cache.root / "loads" / f"sha256-{config}.tar"
    if at.succeeds(is_loaded(found.program, name)):
        return _Ready(name)
    if not archive.is_file():
        complete = Image(image.manifest or b"", image.raw_config, image.layers, at.platform)
        target = Reference(Transport.DOCKER_ARCHIVE, str(archive), name)
        write_image(complete, target, at.progress.written)
    return _Ready(name, Loading(load(found.program, archive), archive))


def _as_sif(opened: Opened, found: FoundRuntime, at: Workbench) -> _Ready:
    """A SIF's path."""
    reference = opened.reference
    if reference is not None and reference.transport is Transport.SIF:
        path = Path(reference.path)
        # Not to be taken for an option, nor for a reference of Apptainer's own.
        return _Ready(str(path) if path.is_absolute() else f"./{path}")
    if reference is not None:
        return _Ready(str(_pulled(reference, at)[0]))
    target = at.cache.root / "sifs" / f"sha256-{image_digest(opened.image).hex}.sif"
    if not target.is_file():
        with Packs(at.cache, SquashfsCompression.GZIP, at.workers) as packs:
            sif = sif_of(opened.image, packs, at.progress.fetched)
        write_sif_file(sif, Reference(Transport.SIF, str(target)), at.progress.written)
    return _Ready(str(target))


def _pulled(reference: Reference, at: Workbench) -> tuple[Path, Digest]:
    directory, gzip = at.cache.root / "sifs", SquashfsCompression.GZIP
    with Registries(at.registries.settings, cache_beside(directory)) as registries:
        done = pull(reference, directory, at.platform, gzip, registries, at.workers, at.progress)
    return done.path, done.digest


def _as_root(opened: Opened, found: FoundRuntime, at: Workbench) -> _Ready:
    """The directory of an unpacked root; of several that ask at once one does the work."""
    sif, digest = opened.sif, image_digest(opened.image)
    if sif is not None and opened.reference is not None:
        if sif.path is None:
            path, digest = _pulled(opened.reference, at)
            sif = open_sif(Reference(Transport.SIF, str(path)), at.registries.sif)
        else:
            digest = _digest_of_file(sif, sif.path, at.cache)

    def fill(root: Path) -> None:
        if sif is None:
            unpack_layers(opened.image.layers, root)
        else:
            with sif.root() as squashfs:
                unpack_squashfs(squashfs.entries(), root)

    name, reference = f"sha256-{digest.hex}", opened.image.reference
    target = kept_root(at.cache, name, fill, reference=reference, hint="another --runtime")
    return _Ready(str(target))


def _digest_of_file(sif: StoredSif, path: Path, cache: Cache) -> Digest:
    """A SIF's digest, taken once for as long as nobody changes the file."""
    facts = path.stat()
    said = f"{path.resolve()} {facts.st_dev} {facts.st_ino} {facts.st_size} {facts.st_mtime_ns}"
    key = Digest.of(said.encode("utf-8", "surrogateescape")).hex
    try:
        return Digest.parse(str((cache.note(_SIF_DIGEST, key) or {})["digest"]))
    except (KeyError, ValueError):
        digest = sif.digest()
        cache.write_note(_SIF_DIGEST, key, {"digest": str(digest)})
        return digest


def _is_plain(reference: Reference, at: Workbench) -> bool:
    """Whether this registry is spoken to without TLS."""
    return at.registries.repository(reference).session.root.startswith("http:")


_FORMS = {Form.NAME: _named, Form.SIF: _as_sif, Form.ROOT: _as_root}
