"""``pixi ship inspect``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Unpack

import click

from pixi_ship.cli.display import human_size, print_warnings
from pixi_ship.cli.foreign_text import echo, print_foreign_json, printable
from pixi_ship.cli.image_options import ImageOptions, image_options, opened_registries
from pixi_ship.digest import Digest
from pixi_ship.inspection.attached import Attached
from pixi_ship.inspection.description import (
    ImageDescription,
    LayerDescription,
    Origin,
    SifDescription,
)
from pixi_ship.inspection.inspect import Inspection, inspect
from pixi_ship.inspection.packages import Package
from pixi_ship.oci.reference import parse_reference

_WORDS = {Origin.BASE: "base", Origin.OURS: "ours", Origin.OTHER: "other"}


@click.command("inspect")
@click.argument("reference", metavar="REF")
@image_options
@click.option("--packages", "with_packages", is_flag=True, help="List every package in the image.")
def inspect_command(
    reference: str, as_json: bool, with_packages: bool, **given: Unpack[ImageOptions]
) -> None:
    """Show what the image REF says of itself: origin, variables, layers, what is attached."""
    with opened_registries(given) as registries:
        found = inspect(parse_reference(reference), registries, with_packages=with_packages)
    if as_json:
        print_foreign_json(_json(found))
    else:
        _show(found)


def text_of(digest: Digest | None) -> str | None:
    """A digest for JSON."""
    return None if digest is None else str(digest)


def _json(found: Inspection) -> dict[str, object]:
    images = [image_json(each) for each in found.images]
    for image, packages in zip(images, found.packages or (), strict=False):
        image["packages"] = [package_json(each) for each in packages]
    return {
        "reference": str(found.reference),
        "digest": text_of(found.digest),
        "images": images,
        "attached": None
        if found.attached is None
        else [
            {
                "subject": str(each.subject),
                "artifact_type": each.artifact_type,
                "digest": str(each.digest),
                "size": each.size,
            }
            for each in found.attached
        ],
        "warnings": list(found.notes),
    }


def image_json(image: ImageDescription) -> dict[str, object]:
    """An image, every text as the image has it."""
    return {
        "digest": text_of(image.digest),
        "config_digest": text_of(image.config_digest),
        "oci_platform": image.platform,
        "platform": image.locked_platform,
        "created": image.created,
        "workspace": image.title,
        "environment": image.environment,
        "lock_digest": image.lock_digest,
        "base": {"name": image.base_name, "digest": image.base_digest},
        "cuda": image.cuda,
        "cuda_required": image.cuda_required,
        "entrypoint": list(image.entrypoint),
        "command": list(image.command),
        "user": image.user,
        "working_directory": image.working_directory,
        "env": dict(image.env),
        "labels": dict(image.labels),
        "size": image.size,
        "layers": [layer_json(each) for each in image.layers],
        "sif": None if image.sif is None else _sif_json(image.sif),
    }


def _sif_json(sif: SifDescription) -> dict[str, object]:
    return {
        "compression": sif.compression,
        "signatures": sif.signatures,
        "definition": sif.definition,
        "objects": [
            {"number": each.number, "kind": each.kind, "name": each.name, "size": each.size}
            for each in sif.objects
        ],
    }


def layer_json(layer: LayerDescription) -> dict[str, object]:
    """A layer of an image."""
    return {
        "number": layer.number,
        "origin": layer.origin.value,
        "digest": str(layer.digest),
        "diff_id": str(layer.diff_id),
        "media_type": layer.media_type,
        "size": layer.size,
        "created_by": layer.created_by,
        "packages": list(layer.packages),
    }


def package_json(package: Package) -> dict[str, object]:
    """A package of a lock."""
    return {
        "name": package.name,
        "version": package.version,
        "build": package.build,
        "kind": package.kind,
        "sha256": package.sha256,
    }


def _show(found: Inspection) -> None:
    _row("reference", str(found.reference))
    if len(found.images) > 1 or found.digest != found.images[0].digest:
        _row("index", f"{found.digest}  {len(found.images)} images")
    for place, image in enumerate(found.images):
        _show_image(image)
        if found.packages is not None:
            _show_packages(found.packages[place])
    for each in found.attached or ():
        _row("attached", _attached(each))
    print_warnings([printable(note) for note in found.notes])


def _row(name: str, text: str | None) -> None:
    """A row of the style of ``plan``; nothing where there is nothing to say."""
    if text:
        echo(f"{name:12} {text}")


def _show_image(image: ImageDescription) -> None:
    _row("platform", platform_words(image))
    _row("digest", text_of(image.digest))
    _row("created", image.created)
    _row("environment", _environment(image))
    _row("lock", image.lock_digest)
    _row("base", "@".join(filter(None, [image.base_name, image.base_digest])))
    needs = f"needs {image.cuda_required}" if image.cuda_required else None
    _row("cuda", ", ".join(filter(None, [image.cuda, needs])))
    _row("entrypoint", " ".join(image.entrypoint))
    _row("command", " ".join(image.command))
    _row("user", image.user)
    _row("directory", image.working_directory)
    for place, (name, value) in enumerate(image.env.items()):
        echo(f"{'' if place else 'env':12} {printable(name)}={value}")
    if image.sif is not None:
        _show_sif(image, image.sif)
        return
    _row("layers", f"{len(image.layers)}, {human_size(image.size)}")
    for layer in image.layers:
        origin = _WORDS[layer.origin]
        words = f"{origin:5} {human_size(layer.size):>10}  {layer.digest}  {title(layer)}"
        echo(f"  {layer.number:3} {words}")


def _show_sif(image: ImageDescription, sif: SifDescription) -> None:
    if image.config_digest is None:  # then labels are all that is said of its origin
        for place, (name, value) in enumerate(image.labels.items()):
            echo(f"{'' if place else 'labels':12} {printable(name)}={value}")
    _row("definition", " ".join((sif.definition or "")[:1000].split()))
    _row("signatures", f"{sif.signatures}, by whom is not checked" if sif.signatures else None)
    _row("squashfs", sif.compression)
    _row("objects", f"{len(sif.objects)}, {human_size(sif.size)}")
    for each, line in zip(
        sif.objects, columns((x.kind, human_size(x.size), x.name) for x in sif.objects), strict=True
    ):
        echo(f"  {each.number:3} {line}")


def platform_words(image: ImageDescription) -> str:
    """A platform as the lock and as registries call it."""
    return (
        f"{image.locked_platform} ({image.platform})" if image.locked_platform else image.platform
    )


def _environment(image: ImageDescription) -> str | None:
    if image.environment is None:
        return image.title
    return f"{image.environment} of {image.title}" if image.title else image.environment


def title(layer: LayerDescription) -> str:
    """What a layer is called in a row: its packages, or the words of its history."""
    if layer.packages:
        more = f" and {len(layer.packages) - 1} more" if len(layer.packages) > 1 else ""
        return printable(layer.packages[0], 100) + more
    if layer.holds_lock:
        return "manifest, lock, entrypoint, activation"
    return printable(" ".join((layer.created_by or "")[:1000].split()), 60)


def _show_packages(packages: Sequence[Package]) -> None:
    _row("packages", str(len(packages)))
    for line in columns(
        (each.name, each.version, each.build or "", each.kind) for each in packages
    ):
        echo(f"  {line}")


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows of foreign text with its columns below one another."""
    cells = [[printable(cell, 200) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _attached(each: Attached) -> str:
    size = "unreadable" if each.size is None else human_size(min(each.size, 1 << 60))
    return f"{each.digest}  {size:>10}  {printable(each.artifact_type or 'unknown', 100)}"
