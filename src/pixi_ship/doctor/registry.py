"""Whether a registry can be read from here."""

from __future__ import annotations

from pixi_ship.doctor.finding import Finding, State
from pixi_ship.errors import PixiShipError, UsageError
from pixi_ship.oci.reference import Reference
from pixi_ship.registry.registries import Registries


def registry_finding(reference: Reference, registries: Registries) -> Finding:
    """Ask for a manifest, and for the tags where it is not there; a login is only counted.

    Raises UsageError for a reference to another place.
    """
    if not reference.in_registry:
        raise UsageError(f"{reference} is in no registry", hint="want docker://HOST/NAME")
    subject = str(reference)
    try:
        credentials = registries.settings.credentials
        login = credentials.find(reference.host, reference.repository)
        repository = registries.repository(reference)
        found = repository.head(reference.digest or reference.tag or "latest")
        tags = [] if found is not None else repository.tags()
    except PixiShipError as error:
        return Finding(subject, State.BAD, str(error), error.hint)
    who = "with a login" if login is not None else "no login found"
    if found is not None:
        return Finding(subject, State.GOOD, f"readable, {found.digest}, {who}")
    count = "1 tag" if len(tags) == 1 else f"{len(tags)} tags"
    what = "this digest is not there" if reference.digest else f"none of them {reference.tag}"
    return Finding(subject, State.NOTE, f"readable, {count}, {what}, {who}", "see them with ls")
