"""``pixi ship ls``."""

from __future__ import annotations

from typing import Unpack

import click

from pixi_ship.cli.display import human_size
from pixi_ship.cli.foreign_text import echo, print_foreign_json, printable
from pixi_ship.cli.image_options import ImageOptions, image_options, opened_registries
from pixi_ship.cli.inspect import columns, text_of
from pixi_ship.errors import UsageError
from pixi_ship.inspection.tags import Tag, TaggedImage, read_tags, tag_names
from pixi_ship.oci.reference import Reference, parse_reference

_HEAD = ("digest", "size", "created", "environment", "lock", "platforms")


@click.command("ls")
@click.argument("repository", metavar="REF")
@image_options
@click.option(
    "--all", "every", is_flag=True, help="Also tags that only list what is attached to images."
)
@click.option("-q", "--quiet", is_flag=True, help="Names alone; no image is opened.")
def ls_command(
    repository: str, as_json: bool, every: bool, quiet: bool, **given: Unpack[ImageOptions]
) -> None:
    """List the tags of docker://HOST/NAME or oci:DIR, and the images they name."""
    reference = _parsed(repository)
    if quiet and as_json:
        raise click.UsageError("--quiet prints names, --json a document: give one of them")
    with opened_registries(given) as registries:
        if quiet:
            for name in tag_names(reference, registries, every=every):
                echo(name)
            return
        found = read_tags(reference, registries, every=every)
    if as_json:
        print_foreign_json({"repository": _named(reference), "tags": [_json(x) for x in found]})
    else:
        _show(found)


def _parsed(text: str) -> Reference:
    """A reference without a tag; raises UsageError for one with a tag or a digest."""
    reference = parse_reference(text)
    last = text.rpartition("/")[2]
    named = ":" in last if reference.in_registry else reference.tag
    if named or reference.digest:
        raise UsageError(
            f"{text!r} names one image, want a repository", hint="leave tag and digest out"
        )
    return reference


def _named(reference: Reference) -> str:
    slashes = "//" if reference.in_registry else ""
    return f"{reference.transport.value}:{slashes}{reference.path}"


def _json(tag: Tag) -> dict[str, object]:
    return {
        "tag": tag.name,
        "digest": text_of(tag.digest),
        "size": tag.size,
        "sif": tag.is_sif,
        "images": [_image_json(each) for each in tag.images],
        "problem": tag.problem,
    }


def _image_json(image: TaggedImage) -> dict[str, object]:
    return {
        "digest": text_of(image.digest),
        "oci_platform": image.platform,
        "created": image.created,
        "environment": image.environment,
        "lock_digest": image.lock_digest,
        "size": image.size,
    }


def _show(found: tuple[Tag, ...]) -> None:
    names = [printable(each.name or "-", 200) for each in found]
    width = max(map(len, ("tag", *names)))
    good = [each for each in found if each.problem is None]
    head, *lines = columns([_HEAD, *(_cells(each) for each in good)])
    if good:
        echo(f"{'tag':{width}}  {head}")
    rows = iter(lines)
    for name, each in zip(names, found, strict=True):
        echo(f"{name:{width}}  {each.problem or next(rows)}")


def _cells(tag: Tag) -> tuple[str, ...]:
    def every(values: list[str | None]) -> str:
        return ",".join(dict.fromkeys(value for value in values if value)) or "-"

    images = tag.images
    return (
        _short(str(tag.digest)),
        human_size(tag.size),
        every([each.created for each in images]),
        every([each.environment for each in images]),
        _short(every([each.lock_digest for each in images])),
        "SIF" if tag.is_sif else every([each.platform for each in images]),
    )


def _short(digest: str) -> str:
    """A digest as far as people compare it; several locks are told in JSON alone."""
    return "several" if "," in digest else digest[:19]
