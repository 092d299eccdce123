"""A bill of materials before it has a format: the image, its packages, who needs whom."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from pixi_ship.attest.component import Component, components
from pixi_ship.attest.depends import Dependencies, depends_on
from pixi_ship.attest.purl import image_purl
from pixi_ship.attest.requires import wheel_requirements
from pixi_ship.attest.subject import Subject
from pixi_ship.errors import UsageError
from pixi_ship.selection import Selection

TOOL = "pixi-ship"
# Ours alone, so that names made from it are nobody else's (RFC 9562, section 6.5).
_NAMESPACE = uuid.UUID("4dadde16-7434-45f3-931a-b50b48bc19c7")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What both formats say; ``created`` is in UTC, ``version`` that of this program."""

    subject: Subject
    architecture: str
    components: tuple[Component, ...]
    depends_on: Dependencies
    created: datetime
    version: str

    @property
    def purl(self) -> str:
        """The package URL of the image."""
        subject = self.subject
        return image_purl(subject.name, subject.digest, architecture=self.architecture)

    def uuid(self, form: str) -> uuid.UUID:
        """Names the document in one format: made of everything that its bytes depend on."""
        base = self.subject.base
        parts = (
            form,
            str(self.subject.digest),
            self.subject.name,
            f"{base.name} {base.digest}" if base else "",
            self.created.isoformat(),
            self.version,
        )
        return uuid.uuid5(_NAMESPACE, "\n".join(parts))


def bill_of_materials(selection: Selection, subject: Subject, created: str, version: str) -> Bill:
    """The bill of an image that was made from a selection.

    created: RFC 3339, for the documents' date. version: of this program. Raises LockError if the
    lock changed meanwhile, UsageError if ``created`` is no time.
    """
    python = selection.environment.python
    found = components(selection, wheel_requirements(selection))
    return Bill(
        subject=subject,
        architecture=selection.platform.architecture,
        components=found,
        depends_on=depends_on(found, selection.platform, python.version if python else None),
        created=_time(created),
        version=version,
    )


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise UsageError(f"{text!r} is not a time", hint="want one like 2026-01-31T12:00:00Z")
    return time.astimezone(UTC).replace(microsecond=0)
