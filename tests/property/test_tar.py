"""The tar writer and reader against each other and against the standard library."""

from __future__ import annotations

import io
import tarfile

from hypothesis import given, settings
from hypothesis import strategies as st

from pixi_ship.digest import BLOCK
from pixi_ship.layer.compress import Blocks
from pixi_ship.layer.tar import MTIME, TarWriter
from pixi_ship.tar_stream import members
from pixi_ship.tree import Directory, Entry, File, Symlink, readable_mode

LIMIT = 1 << 30
letters = st.characters(codec="utf-8", exclude_characters="/\0")
parts = st.text(letters, min_size=1, max_size=60).filter(lambda part: part not in (".", ".."))
names = st.lists(parts, min_size=1, max_size=6).map("/".join)
targets = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300)
Made = tuple[str, str | bytes | None, int]


@st.composite
def trees(draw: st.DrawFn) -> list[Made]:
    """Paths, none below another that is no directory; text is a link, bytes a file."""
    found = draw(st.lists(names, max_size=8, unique=True))
    leaves = [one for one in found if not any(other.startswith(f"{one}/") for other in found)]
    content = st.none() | targets | st.binary(max_size=1500)
    return [(path, draw(content), draw(st.integers(0, 0o7777))) for path in leaves]


def entry(path: str, content: str | bytes | None, mode: int) -> Entry:
    if content is None:
        return Directory(path)
    if isinstance(content, str):
        return Symlink(path, content)
    return File(path, readable_mode(mode), len(content), (content,))


def kind_of(content: str | bytes | None) -> str:
    if content is None:
        return "directory"
    return "symlink" if isinstance(content, str) else "file"


def written(tree: list[Made]) -> bytes:
    pieces: list[bytes] = []
    writer = TarWriter(pieces.append)
    writer.add_all(entry(*each) for each in tree)
    writer.close()
    return b"".join(pieces)


class Dribble:
    """A stream that gives what it has in pieces of awkward sizes."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._stream = io.BytesIO(data)
        self._sizes = sizes or [BLOCK]
        self._turn = 0

    def read(self, size: int, /) -> bytes:
        self._turn += 1
        return self._stream.read(min(size, self._sizes[self._turn % len(self._sizes)]))


@given(trees())
def test_the_standard_library_reads_what_we_write(tree: list[Made]) -> None:
    with tarfile.open(fileobj=io.BytesIO(written(tree))) as tar:
        found = {member.name: member for member in tar}
        for path, content, mode in tree:
            member = found[path]
            assert (member.uid, member.gid, member.mtime) == (0, 0, MTIME)
            if isinstance(content, bytes):
                file = tar.extractfile(member)
                assert file is not None
                assert file.read() == content
                assert member.mode == readable_mode(mode)
            elif content is not None:
                assert (member.issym(), member.linkname) == (True, content)
            else:
                assert (member.isdir(), member.mode) == (True, 0o755)


@given(trees(), st.lists(st.integers(1, 2000), max_size=5))
def test_we_read_what_we_write_however_it_arrives(tree: list[Made], sizes: list[int]) -> None:
    found = {}
    for member in members(Dribble(written(tree), sizes), limit=LIMIT):
        found[member.name.rstrip("/")] = (member.kind, member.link, member.read())
    for path, content, _ in tree:
        kind = kind_of(content)
        link = content if isinstance(content, str) else ""
        data = content if isinstance(content, bytes) else b""
        assert found[path] == (kind, link, data)


@given(trees(), st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
def test_we_read_what_the_standard_library_writes(tree: list[Made], form: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, encoding="utf-8") as tar:
        for path, content, mode in tree:
            member = tarfile.TarInfo(path)
            member.mode = mode
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
            elif content is None:
                member.type = tarfile.DIRTYPE
            else:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    mine = [
        (each.name.rstrip("/"), each.kind, each.mode, each.link, each.read())
        for each in members(io.BytesIO(buffer.getvalue()), limit=LIMIT)
    ]
    assert mine == [
        (
            path,
            kind_of(content),
            mode,
            content if isinstance(content, str) else "",
            content if isinstance(content, bytes) else b"",
        )
        for path, content, mode in tree
    ]


@settings(max_examples=30)
@given(st.lists(st.integers(0, 3 * BLOCK // 2), max_size=6))
def test_blocks_do_not_depend_on_how_bytes_are_written(sizes: list[int]) -> None:
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    emitted: list[bytes] = []
    blocks = Blocks(emitted.append)
    for piece in pieces:
        blocks.write(piece)
    blocks.close()
    whole = b"".join(pieces)
    assert emitted == [whole[at : at + BLOCK] for at in range(0, len(whole), BLOCK)]
