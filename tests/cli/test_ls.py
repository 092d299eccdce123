"""``ls`` lists every tag of a repository or layout, and a broken one does not end the list.

Proven on a strict registry in memory, on Debian's, and on layouts; the requests that were sent
say what was fetched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..registry.behaviour import Behaviour
from ..registry.client import Client, image_manifest
from ..registry.distribution import DockerRegistry
from ..registry.fake import FakeRegistry
from ..registry.store import Manifest
from ..tiny import Tiny, member, ship
from .layouts import LABELS, Layout, digest_of, ours, packed
from .looking import surroundings

__all__ = ["surroundings"]

NAME = "some/app"


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    found = Tiny(tmp_path)
    found.lock(found.good())
    return found


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


@pytest.fixture
def registry(tiny: Tiny) -> Iterator[FakeRegistry]:
    """A registry with two tags of one build."""
    with FakeRegistry() as found:
        for tag in ("1.0", "latest"):
            assert ship(*tiny.words(to=f"{where(found)}:{tag}")).status == 0
        found.log.clear()
        yield found


def where(registry: FakeRegistry | DockerRegistry) -> str:
    return f"docker://{registry.address}/{NAME}"


def tags(reference: str, *more: str) -> dict[str, dict[str, Any]]:
    document = ship("ls", reference, "--json", *more).document
    assert document["repository"] == reference
    return {row["tag"]: row for row in document["tags"]}


# What is listed


def test_a_registry(tiny: Tiny, registry: FakeRegistry) -> None:
    built = tiny.build().document
    layers = Layout(tiny.output).document(built["digest"])["layers"]
    size = sum(layer["size"] for layer in layers)
    image = {
        "digest": built["digest"],
        "oci_platform": "linux/amd64",
        "created": "1980-01-01T00:00:00Z",
        "environment": "default",
        "lock_digest": built["lock_digest"],
        "size": size,
    }
    row = {"digest": built["digest"], "size": size, "images": [image], "problem": None}
    row["sif"] = False
    assert tags(where(registry)) == {tag: {"tag": tag, **row} for tag in ("1.0", "latest")}


def test_no_layer_is_fetched(registry: FakeRegistry) -> None:
    found = tags(where(registry))
    fetched = {each.path.rpartition("/")[2] for each in registry.log.matching("GET", "/blobs/")}
    manifest = registry.store.repository(NAME).manifests[found["1.0"]["digest"]]
    assert fetched == {json.loads(manifest.data)["config"]["digest"]}


def test_debians_registry(tiny: Tiny, tmp_path: Path) -> None:
    with DockerRegistry(tmp_path / "docker-registry") as registry:
        built = ship(*tiny.words(to=f"{where(registry)}:1.0")).document
        assert tags(where(registry))["1.0"]["digest"] == built["digest"]
        assert ship("ls", where(registry), "-q").out == "1.0\n"


def test_the_rows_that_people_see(tiny: Tiny, registry: FakeRegistry) -> None:
    built = tiny.build().document
    ran = ship("ls", where(registry))
    assert (ran.status, ran.err) == (0, "")
    head, first, second = ran.out.splitlines()
    words = ["tag", "digest", "size", "created", "environment", "lock", "platforms"]
    assert head.split() == words
    assert first.split()[:2] == ["1.0", built["digest"][:19]]
    assert second.split()[0] == "latest"
    assert second.split()[-3:] == ["default", built["lock_digest"][:19], "linux/amd64"]
    assert head.index("digest") == first.index("sha256:") == second.index("sha256:")


def test_pages(registry: FakeRegistry, tiny: Tiny) -> None:
    """Every page of a long list is asked for."""
    with FakeRegistry(Behaviour(page=2)) as other:
        for number in range(5):
            assert ship(*tiny.words(to=f"{where(other)}:v{number}")).status == 0
        assert list(tags(where(other))) == [f"v{number}" for number in range(5)]


def test_names_alone(registry: FakeRegistry) -> None:
    """No manifest is asked for."""
    ran = ship("ls", where(registry), "-q")
    assert (ran.status, ran.out, ran.err) == (0, "1.0\nlatest\n", "")
    assert registry.log.matching(path="/manifests/") == []


def test_tags_of_what_is_attached(registry: FakeRegistry) -> None:
    """They are hidden; with ``--all`` they are shown for what they are."""
    repository = registry.store.repository(NAME)
    digest = repository.tags["1.0"]
    for name in (digest.replace(":", "-"), f"{digest.replace(':', '-')}.sig"):
        repository.tags[name] = digest
    repository.tags["sha256-short"] = digest
    shown = ["1.0", "latest", "sha256-short"]
    assert list(tags(where(registry))) == shown
    assert ship("ls", where(registry), "-q").out.split() == shown
    every = ship("ls", where(registry), "-q", "--all").out.split()
    assert sorted(every) == sorted(repository.tags)
    assert sorted(tags(where(registry), "--all")) == sorted(repository.tags)


def test_several_platforms(layout: Layout) -> None:
    """A layer that both images have counts once in the size of the tag."""
    shared, own = packed(member("a", b"a" * 5000)), packed(member("b", b"b"))
    first = layout.image(ours(), [shared])
    second = layout.image({**ours(), "architecture": "arm64"}, [shared, own])
    digest = layout.add_index("both", ("amd64", first), ("arm64", second))
    row = tags(f"oci:{layout.root}")["both"]
    assert row["digest"] == digest
    assert [each["oci_platform"] for each in row["images"]] == ["linux/amd64", "linux/arm64"]
    assert [each["size"] for each in row["images"]] == [
        len(shared.data),
        len(shared.data) + len(own.data),
    ]
    assert row["size"] == len(shared.data) + len(own.data)
    ran = ship("ls", f"oci:{layout.root}")
    assert ran.out.splitlines()[1].endswith("  linux/amd64,linux/arm64")


def test_a_layout(layout: Layout) -> None:
    """Also what has no tag, and images of others."""
    layout.add("b", ours(), packed(member("a", b"a")))
    layout.add("a", {}, packed(member("b", b"b")))
    layout.add(None, ours(), packed(member("c", b"c")))
    found = ship("ls", f"oci:{layout.root}", "--json").document["tags"]
    assert [row["tag"] for row in found] == [None, "a", "b"]
    assert [row["images"][0]["environment"] for row in found] == ["default", None, "default"]
    assert found[2]["images"][0]["lock_digest"] == LABELS["pixi-ship.lock.digest"]
    assert ship("ls", f"oci:{layout.root}", "-q").out == "a\nb\n"
    assert ship("ls", f"oci:{layout.root}").status == 0


# What is refused


@pytest.mark.parametrize(
    ("reference", "lines"),
    [
        (
            "docker://host.example:5000/app:1",
            (
                "error: 'docker://host.example:5000/app:1' names one image, want a repository",
                "  hint: leave tag and digest out",
            ),
        ),
        (
            "oci:dir:tag",
            (
                "error: 'oci:dir:tag' names one image, want a repository",
                "  hint: leave tag and digest out",
            ),
        ),
        (
            "oci-archive:image.tar",
            (
                "error: oci-archive:image.tar has no tags to list",
                "  hint: want docker://HOST/NAME or oci:DIR",
            ),
        ),
        (
            "scratch",
            (
                "error: scratch has no tags to list",
                "  hint: want docker://HOST/NAME or oci:DIR",
            ),
        ),
    ],
)
def test_what_has_no_tags(reference: str, lines: tuple[str, ...]) -> None:
    ran = ship("ls", reference)
    assert (ran.err, ran.status, ran.out) == ("".join(f"{line}\n" for line in lines), 2, "")


def test_a_digest_is_no_repository() -> None:
    assert ship("ls", f"docker://host.example/app@{digest_of(b'')}").status == 2


def test_names_and_a_document_at_once(layout: Layout) -> None:
    assert ship("ls", f"oci:{layout.root}", "-q", "--json").status == 2


def test_no_such_repository(registry: FakeRegistry, layout: Layout) -> None:
    ran = ship("ls", f"docker://{registry.address}/no/such")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith(f"error: listing the tags of docker://{registry.address}/no/such: ")
    ran = ship("ls", f"oci:{layout.root}")
    assert (ran.status, ran.err) == (
        1,
        f"error: reading oci:{layout.root}: index.json: No such file or directory\n"
        "  hint: is it an OCI layout?\n",
    )


@pytest.mark.parametrize("text", ["", "[]", "{", '{"manifests": {}}', '{"manifests": [1]}'])
def test_an_index_that_is_none(layout: Layout, text: str) -> None:
    layout.add("t", {})
    (layout.root / "index.json").write_text(text)
    ran = ship("ls", f"oci:{layout.root}")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith(f"error: reading oci:{layout.root}: index.json")


# Broken and hostile ones among the tags


def break_tags(registry: FakeRegistry) -> None:
    """Tags that name no image, no JSON, other bytes, nothing, and an artifact."""
    client = Client(registry.address)
    repository = registry.store.repository(NAME)
    kind = repository.manifests[repository.tags["1.0"]].media_type
    for tag, data in (("no-json", b"{"), ("no-image", b'{"layers": 1, "config": []}')):
        repository.manifests[digest_of(data)] = Manifest(kind, data)
        repository.tags[tag] = digest_of(data)
    repository.tags["gone"] = digest_of(b"nothing")
    client.push_blob(NAME, b"{}")
    client.push_blob(NAME, b"a bill")
    bill = image_manifest(b"a bill", artifactType="application/spdx+json")
    assert client.push_manifest(NAME, "bill", bill).status == 201


def test_broken_tags_are_rows_with_their_problem(registry: FakeRegistry) -> None:
    good = tags(where(registry))
    break_tags(registry)
    found = tags(where(registry))
    assert {tag: found[tag] for tag in good} == good
    broken = {tag: row for tag, row in found.items() if tag not in good}
    assert set(broken) == {"no-json", "no-image", "gone", "bill"}
    for row in broken.values():
        assert (row["images"], row["size"]) == ([], 0)
        assert row["problem"]
    ran = ship("ls", where(registry))
    assert (ran.status, ran.err) == (0, "")
    lines = {line.split()[0]: line for line in ran.out.splitlines()}
    for tag, row in broken.items():
        assert lines[tag].endswith(row["problem"])
    assert "linux/amd64" in lines["1.0"]


def test_a_broken_image_in_a_layout(layout: Layout) -> None:
    layout.add("good", ours(), packed(member("a", b"a")))
    digest = layout.add("rotten", {"created": "x"}, packed(member("b", b"b")))
    layout.path(digest).write_bytes(b"{}")
    layout.add("gone", {"created": "y"})
    layout.path(layout.row("gone")["digest"]).unlink()
    found = tags(f"oci:{layout.root}")
    assert [tag for tag, row in found.items() if row["problem"]] == ["gone", "rotten"]
    assert found["rotten"]["digest"] == digest
    assert found["good"]["images"]


def test_only_broken_ones(layout: Layout) -> None:
    layout.path(layout.add("t", {})).unlink()
    ran = ship("ls", f"oci:{layout.root}")
    assert ran.status == 0
    (line,) = ran.out.splitlines()
    assert line.startswith("t")
    assert "there is no blob at" in line


def test_names_that_no_tag_can_have(registry: FakeRegistry) -> None:
    """They are never made into a path, and what they hold never reaches the terminal."""
    repository = registry.store.repository(NAME)
    odd = ["../../other/manifests/1", "a/b", "x\x1b[31m\r\n\u202e", "\ud800", "a" * 129, "?x=1"]
    for tag in odd:
        repository.tags[tag] = repository.tags["1.0"]
    found = tags(where(registry))
    assert set(found) == {*odd, "1.0", "latest"}
    for tag in odd:
        assert found[tag]["problem"] == "no tag can have this name"
    asked = {each.path.rpartition("/")[2] for each in registry.log.matching(path="/manifests/")}
    assert asked <= {"1.0", "latest", repository.tags["1.0"]}
    for words in ((), ("-q",)):
        ran = ship("ls", where(registry), *words)
        assert ran.status == 0
        assert not re.search(r"[^\x20-\x7e\n→…]", ran.out + ran.err)


def test_control_characters(layout: Layout) -> None:
    evil = "\x1b]0;x\x07\r\n\u202e\ud800"
    labels = {"pixi-ship.environment": evil, "pixi-ship.lock.digest": evil}
    layout.add("t", {**ours(labels=labels), "created": evil, "architecture": evil})
    ran = ship("ls", f"oci:{layout.root}")
    assert ran.status == 0
    assert not re.search(r"[^\x20-\x7e\n]", ran.out + ran.err)
    text = ship("ls", f"oci:{layout.root}", "--json").out
    assert text.isascii()
    assert json.loads(text)["tags"][0]["images"][0]["environment"] == evil


def test_endless_texts_are_cut(layout: Layout) -> None:
    """A list of many images keeps no more of each than fits into a row."""
    labels = {"pixi-ship.environment": "e" * 1_000_000}
    layout.add("t", {**ours(labels=labels), "created": "c" * 1_000_000})
    ran = ship("ls", f"oci:{layout.root}", "--json")
    assert ran.status == 0
    assert len(ran.out) < 10_000
    assert max(map(len, ship("ls", f"oci:{layout.root}").out.splitlines())) < 10_000
    row = layout.put(b"{}", "m" * 1_000_000)
    layout.tag("u", row)
    problem = tags(f"oci:{layout.root}")["u"]["problem"]
    assert "mmm" in problem
    assert len(problem) <= 1000


def test_more_tags_than_can_be_opened(registry: FakeRegistry) -> None:
    """They are refused before any is opened; their names can be had."""
    repository = registry.store.repository(NAME)
    repository.tags.update({f"t{number}": repository.tags["1.0"] for number in range(10_000)})
    ran = ship("ls", where(registry))
    assert (ran.status, ran.out) == (1, "")
    assert "it has 10002, no more than 10000 can be opened" in ran.err
    assert ran.err.endswith("  hint: --quiet lists their names\n")
    assert registry.log.matching(path="/manifests/") == []
    assert len(ship("ls", where(registry), "-q").out.splitlines()) == 10_002
