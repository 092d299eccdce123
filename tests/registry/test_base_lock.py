"""``pixi-ship.lock`` keeps what a base's tag named, and a plan tells when it names another image.

Recorded, heeded, renewed, ignored, broken; and a plan goes on where no registry answers.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli

from ..tiny import Ran, Tiny, ship
from .fake import FakeRegistry
from .shipping import base_at, failed, home, hurry, offer, package

__all__ = ["home"]

HEADER = "# Written by pixi-ship: the base images that this workspace builds on.\n"


@pytest.fixture
def tiny(tmp_path: Path, home: Path) -> Tiny:
    found = Tiny(tmp_path)
    found.lock(package(found, "one"))
    return found


@pytest.fixture
def bases(tmp_path: Path) -> tuple[Path, Path]:
    """Two images that one tag names, one after the other."""
    made = []
    for name in ("old", "new"):
        other = Tiny(tmp_path / name)
        other.lock(package(other, name))
        other.works()
        made.append(other.output)
    return made[0], made[1]


def on(tiny: Tiny, registry: FakeRegistry, *more: str | Path) -> Ran:
    return tiny.build("--base", base_at(registry), *more)


def plan(tiny: Tiny, base: str, *more: str | Path) -> Ran:
    return ship("plan", "-w", tiny.work, "--base", base, "--cache-dir", tiny.cache, *more)


def lock_of(tiny: Tiny) -> Path:
    return tiny.work / "pixi-ship.lock"


def digest_used(ran: Ran) -> str:
    return str(ran.document["base"]["digest"])


def test_recorded(fake_registry: FakeRegistry, tiny: Tiny, bases: tuple[Path, Path]) -> None:
    """The file is read by people too, and the same again does not touch it."""
    old = offer(fake_registry, bases[0])
    on(tiny, fake_registry, "--base-lock")
    text = lock_of(tiny).read_text()
    assert text.startswith(HEADER)
    reference = base_at(fake_registry)
    assert tomli.loads(text) == {
        "version": 1,
        "base": [{"reference": reference, "digest": old}],
    }
    before = lock_of(tiny).stat()
    on(tiny, fake_registry, "--base-lock")
    assert lock_of(tiny).stat() == before
    offer(fake_registry, bases[1], "another/os", "two")
    other = base_at(fake_registry, "another/os", "two")
    assert tiny.build("--base", other, "--base-lock").status == 0
    rows = tomli.loads(lock_of(tiny).read_text())["base"]
    assert [row["reference"] for row in rows] == sorted([reference, other])


def test_only_where_it_is_wanted(
    fake_registry: FakeRegistry, tiny: Tiny, bases: tuple[Path, Path]
) -> None:
    """Without the option nothing is written; a digest and a file need no lock at all."""
    old = offer(fake_registry, bases[0])
    assert on(tiny, fake_registry).status == 0
    pinned = f"docker://{fake_registry.address}/base/os@{old}"
    assert tiny.build("--base", pinned, "--base-lock").status == 0
    assert tiny.build("--base", f"oci:{bases[0]}:t", "--base-lock").status == 0
    assert tiny.build("--base", "scratch", "--update-base").status == 0
    assert not lock_of(tiny).exists()


def test_nothing_is_recorded_of_a_build_that_fails(
    fake_registry: FakeRegistry, tiny: Tiny, bases: tuple[Path, Path]
) -> None:
    offer(fake_registry, bases[0])
    archive = package(tiny, "one")
    archive.write_bytes(archive.read_bytes()[:-100])
    assert on(tiny, fake_registry, "--base-lock").status == 1
    assert not lock_of(tiny).exists()


def test_heeded(fake_registry: FakeRegistry, tiny: Tiny, bases: tuple[Path, Path]) -> None:
    """The tag moves, the image stays: with the option and without it."""
    old = offer(fake_registry, bases[0])
    first = on(tiny, fake_registry, "--base-lock")
    offer(fake_registry, bases[1])
    for option in ([], ["--base-lock"]):
        again = on(tiny, fake_registry, *option)
        assert (again.digest, digest_used(again)) == (first.digest, old)
    assert old in lock_of(tiny).read_text()


def test_heeded_from_the_registry(
    fake_registry: FakeRegistry, tiny: Tiny, bases: tuple[Path, Path]
) -> None:
    """Another machine with the same lock and an empty cache makes the same image."""
    offer(fake_registry, bases[0])
    first = on(tiny, fake_registry, "--base-lock")
    offer(fake_registry, bases[1])
    again = on(tiny, fake_registry, "--cache-dir", tiny.root / "other-cache")
    assert again.digest == first.digest


def test_what_the_lock_names_is_gone(
    fake_registry: FakeRegistry, tiny: Tiny, bases: tuple[Path, Path]
) -> None:
    old = offer(fake_registry, bases[0])
    on(tiny, fake_registry, "--base-lock")
    fake_registry.store.repository("base/os").manifests.clear()
    ran = on(tiny, fake_registry, "--cache-dir", tiny.root / "other-cache")
    name = f"docker://{fake_registry.address}/base/os"
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith(f"error: reading {name}@{old}: there is none (MANIFEST_UNKNOWN ")


def test_renewed(fake_registry: FakeRegistry, tiny: Tiny, bases: tuple[Path, Path]) -> None:
    offer(fake_registry, bases[0])
    first = on(tiny, fake_registry, "--base-lock")
    new = offer(fake_registry, bases[1])
    renewed = on(tiny, fake_registry, "--update-base")
    assert digest_used(renewed) == new
    assert renewed.digest != first.digest
    assert digest_used(on(tiny, fake_registry)) == new
    rows = tomli.loads(lock_of(tiny).read_text())["base"]
    assert [row["digest"] for row in rows] == [new]


def test_ignored(fake_registry: FakeRegistry, tiny: Tiny, bases: tuple[Path, Path]) -> None:
    offer(fake_registry, bases[0])
    on(tiny, fake_registry, "--base-lock")
    before = lock_of(tiny).read_bytes()
    new = offer(fake_registry, bases[1])
    assert digest_used(on(tiny, fake_registry, "--no-base-lock")) == new
    assert lock_of(tiny).read_bytes() == before


def test_contradiction(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    ran = on(tiny, fake_registry, "--no-base-lock", "--update-base")
    assert ran.status == 2
    assert "contradict" in ran.err


ENTRY = '[[base]]\nreference = "docker://h/x:1"\n'
ANEW = "remove it, and it is made anew"


@pytest.mark.parametrize(
    ("text", "want", "hint"),
    [
        (b"version = ", "Invalid value", ANEW),
        (b"\xff\xfe", "can't decode byte", ANEW),
        (b"version = 2\n", "version is 2, want 1", "a newer pixi-ship may have written it"),
        (b"", "version is None, want 1", "a newer pixi-ship may have written it"),
        (b"version = 1\n", "an entry is broken ('base')", ANEW),
        (f"version = 1\n{ENTRY}".encode(), "an entry is broken ('digest')", ANEW),
        (f'version = 1\n{ENTRY}digest = "sha256:1"\n'.encode(), "an entry is broken (", ANEW),
        (f"version = 1\n{ENTRY}digest = 7\n".encode(), "an entry is broken (", ANEW),
        (b"version = 1\nbase = 7\n", "an entry is broken (", ANEW),
        (b"version = 1\nbase = [7]\n", "an entry is broken (", ANEW),
    ],
)
def test_broken(fake_registry: FakeRegistry, tiny: Tiny, text: bytes, want: str, hint: str) -> None:
    """It is told, whatever is asked for, and left as it is: somebody may want to mend it."""
    lock_of(tiny).write_bytes(text)
    ran = on(tiny, fake_registry)
    first, second = ran.err.splitlines()
    assert (ran.status, ran.out) == (1, "")
    assert first.startswith(f"error: reading {lock_of(tiny)}: ")
    assert want in first
    assert second == f"  hint: {hint}"
    assert lock_of(tiny).read_bytes() == text
    assert len(fake_registry.log) == 0


def test_more_in_the_file_is_no_error(
    fake_registry: FakeRegistry, tiny: Tiny, bases: tuple[Path, Path]
) -> None:
    """Keys that a later version may add."""
    old = offer(fake_registry, bases[0])
    lock_of(tiny).write_text(
        f'version = 1\nby = "me"\n[[base]]\nreference = "{base_at(fake_registry)}"\n'
        f'digest = "{old}"\nwhen = 1980-01-01\n'
    )
    offer(fake_registry, bases[1])
    assert digest_used(on(tiny, fake_registry)) == old


# Plans


def test_a_plan_tells_that_the_tag_moved(
    fake_registry: FakeRegistry, tiny: Tiny, bases: tuple[Path, Path]
) -> None:
    old = offer(fake_registry, bases[0])
    built = on(tiny, fake_registry, "--base-lock")
    base = base_at(fake_registry)
    assert plan(tiny, base, "--json").document["base"] == {
        "reference": base,
        "digest": old,
        "locked": old,
        "moved_to": None,
    }
    new = offer(fake_registry, bases[1])
    fake_registry.log.clear()
    document = plan(tiny, base, "--json").document
    assert document["base"]["moved_to"] == new
    (image,) = document["images"]
    assert image["digest"] == built.digest
    assert document["warnings"] == [
        f"{base} names {new} by now; --update-base takes it instead of the locked {old}"
    ]
    assert {each.method for each in fake_registry.log} == {"HEAD"}
    text = plan(tiny, base).out
    assert f"base         {base}@{old}\n             locked in pixi-ship.lock\n" in text


def test_a_plan_reads_no_layer(
    fake_registry: FakeRegistry, tiny: Tiny, bases: tuple[Path, Path]
) -> None:
    old = offer(fake_registry, bases[0])
    document = plan(tiny, base_at(fake_registry), "--json").document
    assert document["base"]["digest"] == old
    blobs = fake_registry.log.matching("GET", "/blobs/")
    assert len(blobs) == 1, "the config"
    assert not lock_of(tiny).exists()


def test_a_plan_goes_on_without_a_registry(tiny: Tiny, bases: tuple[Path, Path]) -> None:
    """It says what could not be seen, and the layers all the same."""
    with FakeRegistry() as registry:
        offer(registry, bases[0])
        on(tiny, registry, "--base-lock")
        base = base_at(registry)
    ran = plan(tiny, base, "--json")
    (warning,) = ran.document["warnings"]
    assert warning.startswith("the base's tag was not looked at: ")
    assert "no connection" in warning
    assert ran.document["base"]["digest"] == ran.document["base"]["locked"]
    (image,) = ran.document["images"]
    assert [layer["cached"] for layer in image["layers"]] == [True]
    assert plan(tiny, base).status == 0


def test_a_build_does_not(
    tiny: Tiny, bases: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    with FakeRegistry() as registry:
        offer(registry, bases[0])
    ran = on(tiny, registry)
    first, hint = ran.err.splitlines()
    assert (ran.status, ran.out) == (1, "")
    assert first.startswith(f"error: reading {base_at(registry)}: no connection")
    assert hint == "  hint: is the registry up, and the network? Run the same again to go on"


def test_a_plan_fails_where_the_name_is_wrong(fake_registry: FakeRegistry, tiny: Tiny) -> None:
    base = base_at(fake_registry)
    failed(
        plan(tiny, base),
        f"error: reading {base}: there is none (MANIFEST_UNKNOWN manifest unknown to registry)",
    )
