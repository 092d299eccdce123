"""``pixi ship diff``."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Unpack

import click

from pixi_ship.cli.display import human_size, print_warnings
from pixi_ship.cli.foreign_text import echo, print_foreign_json, printable
from pixi_ship.cli.image_options import ImageOptions, image_options, opened_registries
from pixi_ship.cli.inspect import (
    columns,
    layer_json,
    package_json,
    platform_words,
    text_of,
    title,
)
from pixi_ship.inspection.compare import (
    Change,
    Comparison,
    ImageDifference,
    PackageChange,
    Sharing,
    Value,
    compare,
)
from pixi_ship.inspection.description import ImageDescription
from pixi_ship.inspection.packages import Package
from pixi_ship.oci.reference import parse_reference


@click.command("diff")
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@image_options
@click.option("--exit-code", is_flag=True, help="Exit with 1 where the images differ.")
def diff_command(
    old: str, new: str, as_json: bool, exit_code: bool, **given: Unpack[ImageOptions]
) -> None:
    """Show how the image B differs from the image A, and what a node that has A must pull."""
    with opened_registries(given) as registries:
        found = compare(parse_reference(old), parse_reference(new), registries)
    if as_json:
        print_foreign_json(_json(old, new, found))
    else:
        _show(old, new, found)
    if exit_code and not found.is_same:
        sys.exit(1)


def _json(old: str, new: str, found: Comparison) -> dict[str, object]:
    return {
        "old": {"reference": old, "digest": text_of(found.old)},
        "new": {"reference": new, "digest": text_of(found.new)},
        "same": found.is_same,
        "images": [_image_json(each) for each in found.images],
        "only_old": [_side(each) for each in found.only_old],
        "only_new": [_side(each) for each in found.only_new],
        "warnings": list(found.notes),
    }


def _side(image: ImageDescription) -> dict[str, object]:
    return {
        "oci_platform": image.platform,
        "platform": image.locked_platform,
        "digest": text_of(image.digest),
        "size": image.size,
    }


def _image_json(found: ImageDifference) -> dict[str, object]:
    return {
        "oci_platform": found.new.platform,
        "platform": found.new.locked_platform,
        "same": found.is_same,
        "old": _side(found.old),
        "new": _side(found.new),
        "packages": None if found.packages is None else _packages_json(found.packages),
        "layers": [
            {**layer_json(layer), "sharing": sharing.value} for layer, sharing in found.layers
        ],
        "layers_gone": [layer_json(layer) for layer in found.gone],
        "pull": {
            "size": found.pull_size,
            "blobs": found.pull_blobs,
            "of": found.whole_size,
        },
        "env": [_change_json(each) for each in found.env],
        "labels": [_change_json(each) for each in found.labels],
        "settings": [_change_json(each) for each in found.settings],
    }


def _packages_json(changes: Sequence[PackageChange]) -> dict[str, object]:
    return {
        "added": [package_json(each.new) for each in changes if each.new and not each.old],
        "removed": [package_json(each.old) for each in changes if each.old and not each.new],
        "changed": [
            {"old": package_json(each.old), "new": package_json(each.new)}
            for each in changes
            if each.old and each.new
        ],
    }


def _change_json(change: Change) -> dict[str, object]:
    return {"name": change.name, "old": change.old, "new": change.new}


def _show(old: str, new: str, found: Comparison) -> None:
    echo(f"{'old':12} {old}  {found.old or ''}".rstrip())
    echo(f"{'new':12} {new}  {found.new or ''}".rstrip())
    for each in found.images:
        _show_image(each)
    for word, images in (("only in old", found.only_old), ("only in new", found.only_new)):
        for image in images:
            echo(f"{word:12} {platform_words(image)}")
    print_warnings([printable(note) for note in found.notes])


def _show_image(found: ImageDifference) -> None:
    echo(
        f"{'platform':12} {platform_words(found.new)}{', the same image' if found.is_same else ''}"
    )
    if found.packages is not None:
        _show_packages(found.packages, found.unchanged_packages)
    if found.old.sif is None and found.new.sif is None:
        _show_layers(found)
    pull = f"{human_size(found.pull_size)} in {found.pull_blobs} blobs"
    echo(f"{'to pull':12} {pull}, of {human_size(found.whole_size)}")
    for change in found.settings:
        echo(f"{change.name.replace('_', ' '):12} {_sides(change)}")
    for word, changes in (("env", found.env), ("label", found.labels)):
        for change in changes:
            echo(f"{word:12} {printable(change.name, 100)}: {_sides(change)}")


def _show_layers(found: ImageDifference) -> None:
    counts = Counter(sharing for _, sharing in found.layers)
    words = [f"{counts[each]} {each.value}" for each in Sharing if counts[each]]
    gone = [f"{len(found.gone)} gone"] if found.gone else []
    echo(f"{'layers':12} {', '.join([*words, *gone])}")
    for layer, sharing in found.layers:
        if sharing is not Sharing.SHARED:
            echo(f"  {sharing.value:8} {human_size(layer.size):>10}  {title(layer)}")
    for layer in found.gone:
        echo(f"  {'gone':8} {human_size(layer.size):>10}  {title(layer)}")


def _show_packages(changes: Sequence[PackageChange], unchanged: int) -> None:
    added = sum(1 for each in changes if each.old is None)
    removed = sum(1 for each in changes if each.new is None)
    counts = (added, removed, len(changes) - added - removed, unchanged)
    words = zip(counts, ("added", "removed", "changed", "the same"), strict=True)
    text = ", ".join(f"{count} {word}" for count, word in words if count)
    echo(f"{'packages':12} {text or 'none'}")
    for line in columns(_package_row(each) for each in changes):
        echo(f"  {line}")


def _package_row(change: PackageChange) -> tuple[str, ...]:
    sides = [_named(each) for each in (change.old, change.new) if each]
    mark = "~" if len(sides) == 2 else "+" if change.new else "-"
    if len(sides) == 2 and sides[0] == sides[1]:
        sides[1] = "another archive"
    return (mark, change.package.name, " → ".join(sides), change.package.kind)


def _named(package: Package) -> str:
    return " ".join(filter(None, [package.version, package.build]))


def _sides(change: Change) -> str:
    return f"{_value(change.old)} → {_value(change.new)}"


def _value(value: Value) -> str:
    if value is None:
        return "none"
    return printable(value if isinstance(value, str) else " ".join(value), 500)
