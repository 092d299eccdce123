"""A change in the chain of layers is found: in number, in order, and in the base's part of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .case import CACHED, PREFIX, SERIES, Case, Found, write_base
from .tamper import Image, digest_of, joined, piece, pieces

Tamper = Callable[[Image], object]
COUNT = ("layer", "number of layers")
TOOLS, WHEELS = 4, 5
ROW = {"created": "1980-01-01T00:00:00Z", "created_by": "pixi-ship", "comment": "more"}


def layers(*places: str) -> Found:
    return [("layer", f"layer {place}") for place in places]


def insert(place: int, *members: str, row: bool = False) -> Tamper:
    """A layer more, with empty files, and perhaps a row of history for it."""

    def tamper(image: Image) -> None:
        image.layers.insert(place, joined([piece(path) for path in members]))
        if row:
            image.config["history"].insert(place, ROW)

    return tamper


def swap(one: int, other: int, *, history: bool = False) -> Tamper:
    def tamper(image: Image) -> None:
        lists: list[list[object]] = [image.layers]  # type: ignore[list-item]
        for each in [*lists, *([image.config["history"]] if history else [])]:
            each[one], each[other] = each[other], each[one]

    return tamper


def move(image: Image) -> None:
    """A file of one layer to another; together they hold what they held."""
    path = f"{PREFIX}/share/tool/one.txt"
    (moved,) = (each for each in pieces(image.layers[TOOLS]) if each.path == path)
    image.remove(path)
    image.change(WHEELS, lambda found: found.append(moved))


def merge(image: Image) -> None:
    """Two layers as one."""
    both = [*pieces(image.layers[TOOLS]), *pieces(image.layers[WHEELS])]
    image.layers[TOOLS : WHEELS + 1] = [joined(both)]
    del image.config["history"][WHEELS]


CHAINS: dict[str, tuple[Tamper, Found]] = {
    "one more, on top": (insert(7, "etc/more"), [COUNT, *layers("8"), ("file", "/etc/more")]),
    "one more, on top, with history": (
        insert(7, "etc/more", row=True),
        [COUNT, *layers("8"), ("file", "/etc/more"), ("config", "config.history[7]")],
    ),
    "an empty one": (insert(7), [COUNT, *layers("8")]),
    "an empty one, with history": (
        insert(7, row=True),
        [COUNT, *layers("8"), ("config", "config.history[7]")],
    ),
    "an empty one in the middle": (insert(4), [COUNT, *layers("5")]),
    "one twice": (
        lambda image: image.layers.append(image.layers[TOOLS]),
        [COUNT, *layers("8")],
    ),
    "one less": (
        lambda image: image.layers.pop(3),
        [
            COUNT,
            *layers("4"),
            *(
                ("file", f"/{path}")
                for path in (
                    f"{PREFIX}/bin/python{SERIES}",
                    f"{PREFIX}/lib/python{SERIES}/__pycache__",
                    f"{PREFIX}/lib/python{SERIES}/{CACHED.format('this')}",
                    f"{PREFIX}/lib/python{SERIES}/this.py",
                    f"{PREFIX}/conda-meta/python-{SERIES}.0-h0000000_0.json",
                )
            ),
        ],
    ),
    "swapped": (
        swap(TOOLS, WHEELS),
        [("layer", "layer 5, its tar"), ("layer", "layer 6, its tar")],
    ),
    "swapped, with history": (
        swap(TOOLS, WHEELS, history=True),
        [
            ("layer", "layer 5, its tar"),
            ("layer", "layer 6, its tar"),
            ("config", "config.history[4].comment"),
            ("config", "config.history[5].comment"),
        ],
    ),
    "a file in another": (
        move,
        [("layer", "layer 5, its tar"), ("layer", "layer 6, its tar")],
    ),
    "the base's in another order": (
        swap(0, 1),
        [
            ("layer", "layer 1, of the base"),
            ("layer", "layer 2, of the base"),
        ],
    ),
    "a file in the base": (
        lambda image: image.flip("usr/lib/libbase.so"),
        [("layer", "layer 1, of the base")],
    ),
    "a time in the base": (
        lambda image: image.set("etc/os-release", mtime=1),
        [("layer", "layer 2, of the base")],
    ),
    "one of the base twice": (
        lambda image: image.layers.insert(1, image.layers[0]),
        [
            ("layer", "layer 2, of the base"),
            COUNT,
            *layers("3"),
            # The base's own second layer is then taken for one of ours.
            ("file", "/etc/os-release"),
            ("file", "/var/cache/.wh.old"),
            ("file", "/var/cache/old"),
        ],
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain(case: Case, tmp_path: Path, name: str) -> None:
    tamper, found = CHAINS[name]
    verdict = case.verify(case.tampered(tmp_path / "x", tamper))
    verdict.differs(*found)


def test_two_merged(case: Case, tmp_path: Path) -> None:
    """The files are all there; what is named is what became of the layers."""
    verdict = case.verify(case.tampered(tmp_path / "x", merge))
    verdict.differs(
        COUNT,
        ("layer", "layer 5"),  # is too much
        ("layer", "layer 5"),  # is missing
        ("layer", "layer 6"),
        ("config", f"config.history[{TOOLS + 1}].comment"),
        ("config", f"config.history[{TOOLS + 2}]"),
    )


def test_another_base(case: Case, tmp_path: Path) -> None:
    """A base with the same names and other programs: held against the right one it fails."""
    other = write_base(tmp_path / "other", programs=b"#!/bin/other\n")
    reference = f"oci:{tmp_path / 'built'}:t"
    case.build(reference, "--base", f"oci:{other}:t")
    case.verify(reference, "--base", f"oci:{other}:t").holds()
    case.verify(reference).differs(
        ("layer", "layer 1, of the base"),
        ("config", "config.config.Labels.org.opencontainers.image.base.digest"),
        ("manifest", "manifest.annotations.org.opencontainers.image.base.digest"),
    )


def test_another_base_under_the_right_labels(case: Case, tmp_path: Path) -> None:
    """Layers of another base below ours, and every word of the image about the right one."""
    other = Image.read(write_base(tmp_path / "other", programs=b"#!/bin/other\n"), 0)

    def tamper(image: Image) -> None:
        image.layers[0] = other.layers[0]

    verdict = case.verify(case.tampered(tmp_path / "x", tamper))
    verdict.differs(("layer", "layer 1, of the base"))
    want, got = verdict.of("layer 1, of the base")
    assert (want, got) == (digest_of(case.image().layers[0]), digest_of(other.layers[0]))


def test_no_base(case: Case, tmp_path: Path) -> None:
    """Built on nothing, and said to be on the base."""
    reference = f"oci:{tmp_path / 'built'}:t"
    case.build(reference, "--base", "scratch")
    found = case.verify(reference).found
    assert ("layer", "layer 1, of the base") in found
    assert ("layer", "layer 2, of the base") in found
    assert COUNT in found


def test_a_layer_that_is_not_the_one_of_the_config(case: Case, tmp_path: Path) -> None:
    """The config lists the right tars, the manifest has another one."""
    right = case.image()
    rows = [digest_of(layer) for layer in right.layers]

    def tamper(image: Image) -> None:
        image.flip("app/pixi.lock")
        wrong = digest_of(image.layers[-1]).encode()
        image.raw_config = lambda data: data.replace(wrong, rows[-1].encode())

    verdict = case.verify(case.tampered(tmp_path / "x", tamper))
    verdict.differs(("file", "/app/pixi.lock"), ("layer", "layer 7, its tar"))
    assert verdict.of("layer 7, its tar")[0] == rows[-1]


def test_more_layers_than_there_can_be(case: Case, tmp_path: Path) -> None:
    """Each may be the same large blob: nobody reads it a thousand times."""

    def tamper(image: Image) -> None:
        image.layers += [joined([])] * 200

    reference = case.tampered(tmp_path / "x", tamper)
    ran = case.verify(reference).ran
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == f"error: {reference} has 207 layers, runtimes take 127\n"
