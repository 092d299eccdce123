"""Bills of materials and provenance of images, made beside them: into files, and attached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pixi_ship.attest.attestation import Attestation, attestation_bytes
from pixi_ship.attest.provenance import Parameters
from pixi_ship.attest.subject import Base, Subject
from pixi_ship.cache import write_atomically
from pixi_ship.errors import ImageError, UsageError
from pixi_ship.oci.artifact import Artifact
from pixi_ship.oci.image import Image
from pixi_ship.oci.reference import Reference, Transport
from pixi_ship.oci.stored import StoredImage
from pixi_ship.selection import Options, Selection

_PLATFORM = "{platform}"
_ATTACHED = "org.opencontainers.image.title"


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement to make. path: where it is written; None where it is only attached."""

    kind: Attestation
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """The bytes of a statement about one image."""

    statement: Statement
    image: Image
    platform_name: str
    data: bytes


def check_statements(
    statements: Sequence[Statement], to: Sequence[Reference], platforms: int
) -> None:
    """Refuse what would go nowhere, or over itself; raises UsageError."""
    in_registry = any(each.transport is Transport.DOCKER for each in to)
    for each in statements:
        if each.path is None and not in_registry:
            raise UsageError(
                f"the {each.kind} document has no place: only registries keep it beside the image",
                hint=f"name a file: {each.kind}:FILE",
            )
        if each.path is not None and platforms > 1 and _PLATFORM not in str(each.path):
            raise UsageError(
                f"{each.path} cannot hold the {each.kind} documents of {platforms} platforms",
                hint=f"put {_PLATFORM} into the name",
            )


def make_statements(
    statements: Sequence[Statement],
    image: Image,
    selection: Selection,
    base: StoredImage,
    options: Options,
    version: str,
) -> list[Made]:
    """The documents about one image. version: of this program."""
    workspace = selection.workspace.name
    under = Base(options.base, base.digest) if base.layers else None
    subject = Subject(workspace, image.digest, under)
    parameters = Parameters(
        cuda=selection.cuda,
        compression=options.compression.value,
        max_layers=options.max_layers,
        bytecode=selection.interpreter is not None,
    )
    return [
        Made(
            each,
            image,
            selection.environment.platform.name,
            attestation_bytes(
                each.kind, selection, subject, parameters, created=options.created, version=version
            ),
        )
        for each in statements
    ]


def artifact(made: Made) -> Artifact:
    """A statement as registries keep it."""
    kind = made.statement.kind
    return Artifact(made.image.descriptor, kind.media_type, made.data, {_ATTACHED: f"{kind}.json"})


def write_files(statements: Sequence[Made]) -> None:
    """Write every statement that has a path; raises ImageError."""
    for made in statements:
        if made.statement.path is None:
            continue
        path = Path(str(made.statement.path).replace(_PLATFORM, made.platform_name))
        try:
            write_atomically(path, made.data)
        except OSError as error:
            raise ImageError(
                f"writing {path}: {error.strerror or error}", hint="choose another place"
            ) from error
