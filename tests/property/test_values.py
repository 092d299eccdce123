"""Small values: digests, references, shell words, paths."""

from __future__ import annotations

import posixpath
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pixi_ship.digest import Digest
from pixi_ship.errors import UsageError
from pixi_ship.oci.reference import Reference, Transport, parse_reference
from pixi_ship.recipe.scripts import shell_quoted
from pixi_ship.tree import checked_path, parents, readable_mode


@given(st.binary())
def test_a_digest_survives_being_written(data: bytes) -> None:
    digest = Digest.of(data)
    assert Digest.parse(str(digest)) == digest


@given(st.text())
@example("sha256:" + "0" * 63)
@example("sha256:" + "0" * 64 + "\n")
@example("sha256:" + "A" * 64)
@example("sha512:" + "0" * 64)
def test_other_texts_are_no_digest(text: str) -> None:
    with pytest.raises(ValueError, match="not a sha256 digest"):
        Digest.parse(text)


tags = st.from_regex(r"[A-Za-z0-9]+([-._][A-Za-z0-9]+){0,3}", fullmatch=True)
places = st.text(st.characters(codec="utf-8", exclude_characters=":\0\n"), min_size=1)
local = st.sampled_from([Transport.OCI, Transport.OCI_ARCHIVE, Transport.DOCKER_ARCHIVE])


@given(local, places, st.none() | tags)
def test_a_reference_survives_being_written(
    transport: Transport, path: str, tag: str | None
) -> None:
    reference = Reference(transport, path, tag)
    assert parse_reference(str(reference)) == reference


@given(st.text())
def test_what_is_no_reference_is_a_usage_error(text: str) -> None:
    try:
        parse_reference(text)
    except UsageError:
        return
    assert text == "scratch" or text.partition(":")[0] in tuple(Transport)


@settings(max_examples=25)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40), max_size=8
    )
)
@example(["it's", "'", "''", "$HOME", "`x`", "a\nb\n", "\\", "", "-n", "!"])
def test_a_quoted_word_survives_the_shell(values: list[str]) -> None:
    words = " ".join(shell_quoted(value) for value in values)
    script = f"for word in {words}; do printf '%s\\0' \"$word\"; done"
    result = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
    assert result.stdout == b"".join(value.encode() + b"\0" for value in values)


@settings(max_examples=500)
@given(st.lists(st.sampled_from(["a", "b c", ".", "..", "", "/", "...", "~", "\0"]), max_size=8))
def test_a_checked_path_never_escapes(parts: list[str]) -> None:
    raw = "/".join(parts)
    try:
        path = checked_path(raw)
    except ValueError:
        return
    assert path == posixpath.normpath(path)
    assert path == posixpath.normpath(raw)
    assert not path.startswith("/")
    assert ".." not in path.split("/")
    assert "\0" not in path
    assert checked_path(path) == path


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=6))
def test_parents_are_the_directories_above_outermost_first(parts: list[str]) -> None:
    assert list(parents("/".join(parts))) == ["/".join(parts[:end]) for end in range(1, len(parts))]


@given(st.integers(0, 0o7777))
def test_a_readable_mode_can_be_read_by_all_and_is_never_setuid(mode: int) -> None:
    readable = readable_mode(mode)
    assert readable in (0o644, 0o755)
    assert (readable == 0o755) is bool(mode & 0o111)
