"""What verify prints: lines for people, whatever an image holds, and a document for programs."""

from __future__ import annotations

import json
from pathlib import Path

from ..tiny import ship
from .case import PREFIX, Case
from .tamper import Image, digest_of


def shown(case: Case, reference: str) -> list[str]:
    ran = ship("verify", reference, *case.words())
    assert ran.err == ""
    lines = ran.out.split("\n")
    assert lines.pop() == ""
    return lines


def manifest_digest(folder: Path) -> str:
    (row,) = json.loads((folder / "index.json").read_bytes())["manifests"]
    return str(row["digest"])


def test_an_image_that_holds(case: Case) -> None:
    count = case.verify(f"oci:{case.layout}:t").document["images"][0]["files"]
    assert shown(case, f"oci:{case.layout}:t") == [
        f"{manifest_digest(case.layout)}  holds what the lock says; "
        f"{count} paths compared  linux/amd64",
        f"  on oci:{case.base}:t",
    ]


def test_one_difference(case: Case, tmp_path: Path) -> None:
    reference = case.tampered(tmp_path / "x", lambda image: image.add("more", b"x"))
    line, verdict, _ = shown(case, reference)
    digest = digest_of(b"x").removeprefix("sha256:")[:12]
    assert line == f"/more: is too much (file 644 1 bytes sha256:{digest}…)"
    assert "  differs in 1 place; " in verdict


def test_each_way_to_differ(case: Case, tmp_path: Path) -> None:
    def tamper(image: Image) -> None:
        image.add("more", b"x")
        image.remove("app/pixi.lock")
        image.set("app/pixi.toml", mode=0o600)

    reference = case.tampered(tmp_path / "x", tamper)
    first, second, third, verdict, _ = shown(case, reference)
    assert first.startswith("/app/pixi.lock: is missing (file 644 ")
    assert second.startswith("/app/pixi.toml: got file 600 ")
    assert ", want file 644 " in second
    assert third.startswith("/more: is too much (file 644 ")
    assert "  differs in 3 places; " in verdict


HOLDS = "sha256:0  holds what the lock says; 1 paths compared"


def test_names_cannot_write_lines_of_their_own(case: Case, tmp_path: Path) -> None:
    """Line breaks, escape sequences and marks that turn the direction of text."""
    names = [
        f"x\n{HOLDS}\n",
        "\x1b[2J\x1b]0;title\x07",
        "a\u202eb",
        "\x9b31m",
        "c\rd",
        "e",
    ]

    def tamper(image: Image) -> None:
        for name in names:
            image.add(f"{PREFIX}/{name}")
        image.runtime["User"] = f"me\n{HOLDS}\n\x1b[1A"
        image.labels[f"more\n{HOLDS}"] = "\x1b[2K"

    reference = case.tampered(tmp_path / "x", tamper)
    lines = shown(case, reference)
    assert len(lines) == len(names) + 2 + 2
    assert HOLDS not in lines
    assert all(line.isprintable() for line in lines)
    verdict = case.verify(reference)
    assert {f"/{PREFIX}/{name}" for name in names} <= {where for _, where in verdict.found}
    assert verdict.ran.out.isascii()


def test_half_a_pair_of_surrogates(case: Case, tmp_path: Path) -> None:
    """JSON may hold it and UTF-8 may not."""

    def tamper(image: Image) -> None:
        image.raw_config = lambda raw: raw.replace(
            b'"WorkingDir":"/srv"', b'"WorkingDir":"\\ud800"'
        )

    reference = case.tampered(tmp_path / "x", tamper)
    assert shown(case, reference)[0] == "config.config.WorkingDir: got , want /srv"
    verdict = case.verify(reference)
    verdict.differs(("config", "config.config.WorkingDir"))
    assert verdict.of("config.config.WorkingDir") == ("/srv", "\ud800")


def test_an_error_quotes_an_image(case: Case, tmp_path: Path) -> None:
    """The sentence of an error is one line as well."""

    def tamper(image: Image) -> None:
        image.labels["pixi-ship.environment"] = f"x\n{HOLDS}\x1b[1A"

    ran = ship("verify", case.tampered(tmp_path / "x", tamper), *case.words())
    assert (ran.status, ran.out) == (1, "")
    first, second = ran.err.splitlines()
    assert first.startswith("error: ")
    assert second.startswith("  hint: ")
    assert "\x1b" not in ran.err


def test_two_platforms_are_too_many(case: Case) -> None:
    words = ["--platform", "a", "--platform", "b"]
    ran = ship("verify", f"oci:{case.layout}:t", *case.words(*words))
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == ("error: verify takes one --platform, or none for all that the image has\n")
