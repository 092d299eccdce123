"""Bills of materials as CycloneDX 1.6 JSON, by cyclonedx-python-lib.

Source: CycloneDX 1.6 (ECMA-424), ``metadata``, ``components``, ``dependencies``.
"""

from __future__ import annotations

import json
from typing import Any

from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    XsUri,
)
from cyclonedx.model import component as model
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component_evidence import ComponentEvidence, Identity, IdentityField
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.model.license import (
    DisjunctiveLicense,
    License,
    LicenseAcknowledgement,
    LicenseExpression,
)
from cyclonedx.model.tool import ToolRepository
from cyclonedx.schema.schema import SchemaVersion1Dot6
from cyclonedx.spdx import is_supported_id

from pixi_ship.attest.bill import TOOL, Bill
from pixi_ship.attest.component import Component
from pixi_ship.attest.depends import top_level
from pixi_ship.attest.licence import declared_licence
from pixi_ship.digest import Digest
from pixi_ship.oci.image import canonical_json

_IMAGE = "image"


def cyclonedx(bill: Bill) -> bytes:
    """The bill as CycloneDX 1.6 JSON: the same bill, the same bytes."""
    # JsonV1Dot6 would do the same, but it looks through all dependencies for every component to
    # complete the graph and make references unique: ours is complete, and they are.
    text: str = _bom(bill).as_json(view_=SchemaVersion1Dot6)  # type: ignore[attr-defined]
    document = json.loads(text)
    _add_purls(document, bill)
    document |= {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "dependencies": _dependencies(bill),
    }
    return canonical_json(document)


def _bom(bill: Bill) -> Bom:
    tool = model.Component(
        type=model.ComponentType.APPLICATION, name=TOOL, version=bill.version, bom_ref="tool"
    )
    return Bom(
        serial_number=bill.uuid("cyclonedx"),
        metadata=BomMetaData(
            timestamp=bill.created, tools=ToolRepository(components=[tool]), component=_image(bill)
        ),
        components=[_component(each) for each in bill.components],
    )


def _image(bill: Bill) -> model.Component:
    subject, base = bill.subject, bill.subject.base
    image = _container(_IMAGE, subject.name, subject.digest)
    if base:
        ancestor = _container("base", base.name, base.digest)
        image.pedigree = model.Pedigree(ancestors=[ancestor])
    return image


def _container(ref: str, name: str, digest: Digest | None) -> model.Component:
    return model.Component(
        type=model.ComponentType.CONTAINER,
        bom_ref=ref,
        name=name,
        version=str(digest) if digest else None,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest.hex)] if digest else [],
    )


def _component(component: Component) -> model.Component:
    hashes = _hashes(component)
    distribution = ExternalReferenceType.DISTRIBUTION
    return model.Component(
        type=model.ComponentType.LIBRARY,
        bom_ref=component.ref,
        name=component.name,
        version=component.version,
        supplier=OrganizationalEntity(name=component.supplier) if component.supplier else None,
        hashes=hashes,
        licenses=_licences(component),
        external_references=[
            ExternalReference(type=distribution, url=XsUri(location), hashes=hashes)
            for location in (component.location,)
            if location
        ],
        evidence=_evidence(component),
    )


def _hashes(component: Component) -> list[HashType]:
    digests = ((HashAlgorithm.SHA_256, component.sha256), (HashAlgorithm.MD5, component.md5))
    return [HashType(alg=algorithm, content=value) for algorithm, value in digests if value]


def _licences(component: Component) -> list[License]:
    licence = declared_licence(component.licence)
    if licence is None:
        return []
    declared = LicenseAcknowledgement.DECLARED
    if not licence.is_expression:
        return [DisjunctiveLicense(name=licence.text, acknowledgement=declared)]
    if is_supported_id(licence.expression):
        return [DisjunctiveLicense(id=licence.expression, acknowledgement=declared)]
    return [LicenseExpression(licence.expression, acknowledgement=declared)]


def _evidence(component: Component) -> ComponentEvidence | None:
    # A component has one package URL; further names of the same thing have their place here.
    found = [
        Identity(field=IdentityField.PURL, concluded_value=each) for each in component.purls[1:]
    ]
    return ComponentEvidence(identity=found) if found else None


def _add_purls(document: dict[str, Any], bill: Bill) -> None:
    """Put the package URLs in: the library would leave ``/`` in them, purl-spec wants ``%2F``."""
    purls = {each.ref: each.purl for each in bill.components}
    for component in document["components"]:
        component["purl"] = purls[component["bom-ref"]]
    image, base = document["metadata"]["component"], bill.subject.base
    image["purl"] = bill.purl
    if base and base.purl:
        image["pedigree"]["ancestors"][0]["purl"] = base.purl


def _dependencies(bill: Bill) -> list[dict[str, object]]:
    edges = {_IMAGE: top_level(bill.depends_on), **bill.depends_on}
    return [
        {"ref": ref, "dependsOn": list(needed)} if needed else {"ref": ref}
        for ref, needed in edges.items()
    ]
