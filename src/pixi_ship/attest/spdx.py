"""Bills of materials as SPDX 2.3 JSON, by spdx-tools.

Source: SPDX 2.3, sections 6 (document), 7 (packages), 10 (licences), 11 (relationships).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from spdx_tools.spdx.jsonschema.document_converter import DocumentConverter
from spdx_tools.spdx.model.actor import Actor, ActorType
from spdx_tools.spdx.model.checksum import Checksum, ChecksumAlgorithm
from spdx_tools.spdx.model.document import CreationInfo, Document
from spdx_tools.spdx.model.extracted_licensing_info import ExtractedLicensingInfo
from spdx_tools.spdx.model.package import (
    ExternalPackageRef,
    ExternalPackageRefCategory,
    Package,
    PackagePurpose,
)
from spdx_tools.spdx.model.relationship import Relationship, RelationshipType
from spdx_tools.spdx.model.spdx_no_assertion import SpdxNoAssertion

from pixi_ship.attest.bill import TOOL, Bill
from pixi_ship.attest.component import Component
from pixi_ship.attest.licence import declared_licence, parsed
from pixi_ship.digest import Digest
from pixi_ship.oci.image import canonical_json

_DOCUMENT = "SPDXRef-DOCUMENT"
_IMAGE = "SPDXRef-image"
_BASE = "SPDXRef-base"
_BASE_COMMENT = "The base image; what is in it is not listed here."


def spdx(bill: Bill) -> bytes:
    """The bill as SPDX 2.3 JSON: the same bill, the same bytes.

    Nothing is validated here: the library's validation is quadratic (docs/reference/sbom.md).
    """
    converter = DocumentConverter()  # type: ignore[no-untyped-call]
    return canonical_json(converter.convert(document(bill)))


def document(bill: Bill) -> Document:
    """The bill in the library's model, which can validate it."""
    subject = bill.subject
    packages = [_container(_IMAGE, subject.name, subject.digest, bill.purl)]
    if base := subject.base:
        packages.append(_container(_BASE, base.name, base.digest, base.purl, _BASE_COMMENT))
    packages += [_package(each) for each in bill.components]
    return Document(
        creation_info=CreationInfo(
            spdx_version="SPDX-2.3",
            spdx_id=_DOCUMENT,
            name=subject.name,
            document_namespace=f"urn:uuid:{bill.uuid('spdx')}",
            creators=[Actor(ActorType.TOOL, f"{TOOL}-{bill.version}")],
            created=bill.created,
        ),
        packages=packages,
        relationships=list(_relationships(bill)),
        extracted_licensing_info=_extracted_licences(bill.components),
    )


def _container(
    spdx_id: str, name: str, digest: Digest | None, purl: str | None, comment: str | None = None
) -> Package:
    return Package(
        spdx_id=spdx_id,
        name=name,
        version=str(digest) if digest else None,
        supplier=SpdxNoAssertion(),
        download_location=SpdxNoAssertion(),
        files_analyzed=False,
        checksums=[Checksum(ChecksumAlgorithm.SHA256, digest.hex)] if digest else [],
        license_concluded=SpdxNoAssertion(),
        license_declared=SpdxNoAssertion(),
        copyright_text=SpdxNoAssertion(),
        external_references=[_purl(purl)] if purl else [],
        primary_package_purpose=PackagePurpose.CONTAINER,
        comment=comment,
    )


def _package(component: Component) -> Package:
    licence = declared_licence(component.licence)
    supplier = component.supplier
    return Package(
        spdx_id=_spdx_id(component.ref),
        name=component.name,
        version=component.version,
        file_name=component.file_name,
        supplier=Actor(ActorType.ORGANIZATION, supplier) if supplier else SpdxNoAssertion(),
        download_location=component.location or SpdxNoAssertion(),
        files_analyzed=False,
        checksums=_checksums(component),
        license_concluded=SpdxNoAssertion(),
        license_declared=parsed(licence.expression) if licence else SpdxNoAssertion(),
        copyright_text=SpdxNoAssertion(),
        external_references=[_purl(each) for each in component.purls],
    )


def _checksums(component: Component) -> list[Checksum]:
    digests = (
        (ChecksumAlgorithm.SHA256, component.sha256),
        (ChecksumAlgorithm.MD5, component.md5),
    )
    return [Checksum(algorithm, value) for algorithm, value in digests if value]


def _purl(purl: str) -> ExternalPackageRef:
    return ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", purl)


def _relationships(bill: Bill) -> Iterable[Relationship]:
    yield Relationship(_DOCUMENT, RelationshipType.DESCRIBES, _IMAGE)
    if bill.subject.base:
        yield Relationship(_IMAGE, RelationshipType.DESCENDANT_OF, _BASE)
    ids = {each.ref: _spdx_id(each.ref) for each in bill.components}
    for each in bill.components:
        yield Relationship(_IMAGE, RelationshipType.CONTAINS, ids[each.ref])
    for each in bill.components:
        for needed in bill.depends_on[each.ref]:
            yield Relationship(ids[each.ref], RelationshipType.DEPENDS_ON, ids[needed])


def _extracted_licences(components: Iterable[Component]) -> list[ExtractedLicensingInfo]:
    licences = [declared_licence(each.licence) for each in components]
    texts = {name: text for each in licences if each for name, text in each.references}
    return [ExtractedLicensingInfo(name, text) for name, text in sorted(texts.items())]


def _spdx_id(ref: str) -> str:
    """An identifier of letters, digits, ``.`` and ``-``; the digest keeps ``a-b`` from ``a_b``."""
    readable = re.sub(r"[^A-Za-z0-9.-]", "-", ref)
    return f"SPDXRef-{readable}-{hashlib.sha256(ref.encode()).hexdigest()[:8]}"
