"""``pixi ship doctor``."""

from __future__ import annotations

import os
import pwd
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Unpack

import click

from pixi_ship.cache import Cache, write_atomically
from pixi_ship.cli.foreign_text import print_foreign_json, printable
from pixi_ship.cli.image_options import ImageOptions, image_options
from pixi_ship.cli.options import cache_directory
from pixi_ship.cli.registry_options import registry_settings
from pixi_ship.doctor.finding import Finding, State
from pixi_ship.doctor.machine import Machine, machine_findings
from pixi_ship.doctor.profile import proposed_profile
from pixi_ship.doctor.questions import Questions
from pixi_ship.doctor.registry import registry_finding
from pixi_ship.doctor.site import SiteFacts, ask_site, site_findings
from pixi_ship.errors import UsageError
from pixi_ship.oci.reference import parse_reference
from pixi_ship.registry.patience import Patience
from pixi_ship.registry.registries import Registries

_TRIES = 2  # of a registry: who asks wants to know soon


@click.command("doctor")
@click.argument("references", nargs=-1, metavar="REF")
@click.option("--site", "of_site", is_flag=True, help="Look for schedulers; propose a profile.")
@click.option(
    "--write",
    "target",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="With --site: write the profile to a new file.",
)
@image_options
def doctor_command(
    references: tuple[str, ...],
    of_site: bool,
    target: Path | None,
    as_json: bool,
    **given: Unpack[ImageOptions],
) -> None:
    """Say what this machine has: a cache, runtimes, access to each registry that REF names.

    With --site also what Slurm and HTCondor say of themselves, and a profile of the site for
    submit. Nothing is changed, no job is started. The exit code is 1 where something is broken.
    """
    if target is not None:
        _check_target(target, of_site)
    machine = _machine()
    findings = [
        *machine_findings(machine, cache_directory(given["cache_dir"])),
        *_of_registries(references, given),
    ]
    facts = ask_site(machine, Path.cwd(), socket.gethostname()) if of_site else None
    if facts is not None:
        findings += site_findings(facts)
    profile = proposed_profile(facts) if facts is not None else None
    if target is not None and profile is not None:
        write_atomically(target, profile.encode())
    if as_json:
        print_foreign_json(_document(findings, facts, profile))
    else:
        _show(findings)
        if profile is not None and target is None:
            click.echo(f"\n{profile}", nl=False)
    if any(each.state is State.BAD for each in findings):
        sys.exit(1)


def _check_target(target: Path, of_site: bool) -> None:
    if not of_site:
        raise UsageError("--write writes the profile of a site", hint="say --site too")
    if target.exists() or target.is_symlink():
        raise UsageError(
            f"{target} exists already: it is left as it is",
            hint="name a new file, or see the proposal without --write",
        )


def _machine() -> Machine:
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = ""
    return Machine(Questions(os.environ), user, os.getuid())


def _of_registries(references: Sequence[str], given: ImageOptions) -> Iterator[Finding]:
    if not references:
        return
    settings = registry_settings(given, patience=Patience(attempts=_TRIES))
    cache = Cache(cache_directory(given["cache_dir"]))
    with Registries(settings, cache) as registries:
        for each in references:
            yield registry_finding(parse_reference(each), registries)


def _show(findings: Sequence[Finding]) -> None:
    width = max(len(each.subject) for each in findings)
    for each in findings:
        click.echo(printable(f"{each.state:6}  {each.subject:{width}}  {each.detail}"))
        if each.hint:
            click.echo(printable(f"{'':{width + 10}}{each.hint}"))


def _document(
    findings: Sequence[Finding], facts: SiteFacts | None, profile: str | None
) -> dict[str, object]:
    return {
        "findings": [asdict(each) for each in findings],
        "slurm": asdict(facts.cluster) if facts and facts.cluster else None,
        "htcondor": asdict(facts.pool) if facts and facts.pool else None,
        "profile": profile,
    }
