"""How an image was made: an in-toto statement with SLSA provenance, unsigned.

Source: in-toto attestation spec v1 (statement, resource descriptor, digest set); SLSA v1.0,
"Provenance". What the parameters mean: docs/reference/sbom.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pixi_ship.attest.component import Component, components
from pixi_ship.attest.subject import Subject
from pixi_ship.digest import Digest, digest_file
from pixi_ship.errors import WorkspaceError
from pixi_ship.oci.image import canonical_json
from pixi_ship.selection import Selection
from pixi_ship.workspace import Workspace

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILDER = "pkg:pypi/pixi-ship"
BUILD_TYPE = f"{BUILDER}#build/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What was asked for, besides environment and platform; ``compression`` is gzip or zstd."""

    cuda: str | None = None
    compression: str
    max_layers: int
    bytecode: bool


def provenance(
    selection: Selection, subject: Subject, parameters: Parameters, version: str
) -> bytes:
    """The statement as canonical JSON; it holds no time, so the same build gives the same bytes.

    version: of this program. Raises WorkspaceError if the manifest cannot be read.
    """
    definition: dict[str, object] = {
        "buildType": BUILD_TYPE,
        "externalParameters": _external(selection, subject, parameters),
        "resolvedDependencies": _dependencies(selection, subject),
    }
    if interpreter := selection.interpreter:
        definition["internalParameters"] = {"interpreter": interpreter.key}
    builder = {"id": BUILDER, "version": {"pixi-ship": version}}
    return canonical_json(
        {
            "_type": STATEMENT,
            "subject": [{"name": subject.name, "digest": _digest_set(subject.digest)}],
            "predicateType": PREDICATE,
            "predicate": {"buildDefinition": definition, "runDetails": {"builder": builder}},
        }
    )


def _external(selection: Selection, subject: Subject, parameters: Parameters) -> dict[str, object]:
    found: dict[str, object] = {
        "environment": selection.environment.name,
        "platform": selection.environment.platform.name,
        "base": subject.base.name if subject.base else "scratch",
        "compression": parameters.compression,
        "maxLayers": parameters.max_layers,
        "bytecode": parameters.bytecode,
    }
    if parameters.cuda is not None:
        found["cuda"] = parameters.cuda
    return found


def _dependencies(selection: Selection, subject: Subject) -> list[Mapping[str, object]]:
    workspace = selection.workspace
    found: list[Mapping[str, object]] = [
        {"name": workspace.lock.name, "digest": _digest_set(selection.lock_digest)},
        {"name": workspace.manifest.name, "digest": _digest_set(_manifest_digest(workspace))},
    ]
    base = subject.base
    if base is not None and base.digest is not None:
        found.append({"name": base.name, "uri": base.purl, "digest": _digest_set(base.digest)})
    return [*found, *(_descriptor(each) for each in components(selection))]


def _manifest_digest(workspace: Workspace) -> Digest:
    try:
        return digest_file(workspace.manifest)
    except OSError as error:
        raise WorkspaceError(f"reading {workspace.manifest}: {error.strerror}") from error


def _descriptor(component: Component) -> Mapping[str, object]:
    digests = {"sha256": component.sha256, "md5": component.md5}
    found: dict[str, object] = {"name": component.file_name, "uri": component.purl}
    if known := {algorithm: value for algorithm, value in digests.items() if value}:
        found["digest"] = known
    if component.location:
        found["downloadLocation"] = component.location
    return found


def _digest_set(digest: Digest) -> dict[str, str]:
    return {"sha256": digest.hex}
