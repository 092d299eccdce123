"""Every squashfs that we write holds what was put in: unsquashfs, the kernel and our reader agree.

Also that a tree has one form: neither the order of names nor the chunks that files came in, nor
an index that went through the cache, change a byte.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixi_ship.errors import ImageError
from pixi_ship.squashfs.filesystem import Directory, Leaf, make_filesystem
from pixi_ship.squashfs.format import InodeType, SquashfsCompression
from pixi_ship.squashfs.pack import Pack, PackWriter, Row, pack_from_json, pack_to_json
from pixi_ship.squashfs.read import SquashfsReader

from ..contract.tools import need, output
from .mounts import OTHERS, mounted, unpacked
from .sketch import (
    BLOCK,
    TIME,
    Seen,
    Sketch,
    differing,
    everything,
    noise,
    on_disk,
    read_back,
    text,
    walk,
)

CODECS = list(SquashfsCompression)
SMALL = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
codecs = pytest.mark.parametrize("compression", CODECS)


@pytest.fixture(scope="module", params=CODECS)
def complete(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Seen]]:
    """A squashfs with everything in it."""
    sketch = Sketch(request.param)
    everything(sketch)
    path = sketch.write(tmp_path_factory.mktemp("complete") / "all.squashfs")
    return path, sketch.seen()


@pytest.mark.parametrize("reader", OTHERS)
def test_other_readers_see_what_was_put_in(
    complete: tuple[Path, dict[str, Seen]], reader: str, tmp_path: Path
) -> None:
    path, want = complete
    with OTHERS[reader](path, tmp_path) as root:
        got = on_disk(root)
    assert not differing(want, got)


def test_our_reader_sees_what_was_put_in(complete: tuple[Path, dict[str, Seen]]) -> None:
    path, want = complete
    got = read_back(path)
    assert not differing(want, got)
    assert list(got) == list(want), "a directory, then what is in it, by the bytes of names"


def test_our_reader_finds_a_squashfs_within_a_file(
    complete: tuple[Path, dict[str, Seen]], tmp_path: Path
) -> None:
    path, want = complete
    whole = tmp_path / "whole"
    whole.write_bytes(noise(5000) + path.read_bytes() + noise(999, 1))
    assert not differing(want, read_back(whole, offset=5000, size=path.stat().st_size))


def test_the_codec_and_the_time_are_those_asked_for(
    complete: tuple[Path, dict[str, Seen]], tmp_path: Path
) -> None:
    need("unsquashfs")
    path, want = complete
    said = output("unsquashfs", "-stat", path)
    with SquashfsReader(path, 0, path.stat().st_size) as reader:
        block = reader.superblock
    name = next(each for each in CODECS if each.number == block.compression)
    assert f"Compression {name}" in said
    assert "Block size 131072" in said
    assert (block.block_size, block.time) == (BLOCK, TIME)
    firsts = {seen.first or place for place, seen in want.items()}
    assert f"Number of inodes {block.inodes}\n" in said
    assert block.inodes == len(firsts) + 1


@codecs
@pytest.mark.parametrize("reader", OTHERS)
def test_an_empty_root(compression: SquashfsCompression, reader: str, tmp_path: Path) -> None:
    path = Sketch(compression, Directory(0o750)).write(tmp_path / "empty.squashfs")
    with OTHERS[reader](path, tmp_path) as root:
        assert on_disk(root) == {}
        assert root.stat().st_mode & 0o7777 == 0o750
    with SquashfsReader(path, 0, path.stat().st_size) as ours:
        assert list(ours.entries()) == []
        assert (ours.root.kind, ours.root.mode) == ("directory", 0o750)


@codecs
def test_a_deep_tree(compression: SquashfsCompression, tmp_path: Path) -> None:
    sketch = Sketch(compression)
    path = "d"
    sketch.directory(path)
    while len(path) < 3000:
        path += "/e"
        sketch.directory(path)
    sketch.file(f"{path}/file", b"down here")
    image = sketch.write(tmp_path / "deep.squashfs")
    want = sketch.seen()
    assert len(want) > 1500
    assert not differing(want, read_back(image))
    with mounted(image, tmp_path) as root:
        assert not differing(want, on_disk(root))


def test_a_path_longer_than_linux_takes_is_an_error_to_our_reader(tmp_path: Path) -> None:
    sketch = Sketch(SquashfsCompression.ZSTD)
    path = "d" * 200
    sketch.directory(path)
    for _ in range(21):
        path += "/" + "d" * 200
        sketch.directory(path)
    image = sketch.write(tmp_path / "long.squashfs")
    with pytest.raises(ImageError, match="path of more than 4095 bytes"):
        read_back(image)


@codecs
def test_a_name_of_256_bytes(compression: SquashfsCompression, tmp_path: Path) -> None:
    """One byte more than most filesystems take, so it is listed and not unpacked."""
    need("unsquashfs")
    sketch = Sketch(compression)
    names = ["n" * 256, "é" * 128, "a" + "文" * 85]
    for name in names:
        sketch.file(name, name.encode())
    image = sketch.write(tmp_path / "name.squashfs")
    assert not differing(sketch.seen(), read_back(image))
    listed = output("unsquashfs", "-lc", "-d", "", image).splitlines()
    assert sorted(listed) == sorted(f"/{name}" for name in names)
    with mounted(image, tmp_path) as root:
        assert not differing(sketch.seen(), on_disk(root))


@pytest.mark.parametrize("name", ["n" * 257, "é" * 129])
def test_a_longer_name_cannot_be_written(name: str) -> None:
    sketch = Sketch(SquashfsCompression.GZIP)
    sketch.file(name, b"x")
    with pytest.raises(ImageError, match="256"):
        sketch.make()


@pytest.mark.parametrize("many", [255, 256, 257, 70_000])
def test_many_files_in_one_directory(many: int, tmp_path: Path) -> None:
    need("unsquashfs")
    sketch = Sketch(SquashfsCompression.ZSTD)
    sketch.directory("many")
    for number in range(many):
        sketch.file(f"many/file number {number}", b"%d" % number)
    image = sketch.write(tmp_path / "many.squashfs")
    want = sketch.seen()
    assert not differing(want, read_back(image))
    listed = output("unsquashfs", "-lc", "-d", "", image).splitlines()
    assert sorted(listed) == sorted(f"/{path}" for path in want if path != "many")
    with mounted(image, tmp_path) as root:
        names = {each.name for each in (root / "many").iterdir()}
        assert names == {path[5:] for path in want if path != "many"}
        for number in random.Random(1).sample(range(many), 50):
            assert (root / "many" / f"file number {number}").read_bytes() == b"%d" % number


def test_hard_links_far_apart(tmp_path: Path) -> None:
    """A listing says inode numbers as 16-bit differences, and links may be further apart."""
    sketch = Sketch(SquashfsCompression.ZSTD)
    sketch.file("a", b"first of all")
    sketch.directory("many")
    for number in range(40_000):
        sketch.symlink(f"many/{number}", "x")
    sketch.directory("z")
    sketch.link("z/a", "a")
    sketch.file("z/b", b"near")
    sketch.link("z/c", "a")
    image = sketch.write(tmp_path / "far.squashfs")
    assert not differing(sketch.seen(), read_back(image))
    with mounted(image, tmp_path) as root:
        assert (root / "z/a").stat().st_ino == (root / "z/c").stat().st_ino
        assert (root / "z/c").stat().st_nlink == 3
        assert (root / "z/b").read_bytes() == b"near"
    output("unsquashfs", "-quiet", "-no-progress", "-d", tmp_path / "out", image, "z")
    assert (tmp_path / "out/z/c").read_bytes() == b"first of all"


@codecs
def test_data_behind_4_gib(compression: SquashfsCompression, tmp_path: Path) -> None:
    """The first pack is a hole of 5 GiB: everything after it has places of 33 bits."""
    hole = Pack((), (), 5 << 30)
    data = bytearray()
    packer = PackWriter(data.extend, compression)
    contents = {"blocks": text(3 * BLOCK) + noise(BLOCK), "small": b"in a fragment"}
    names: dict[str, Directory | Leaf] = {
        name: Leaf(InodeType.FILE, 0o644, content=packer.add(len(each), iter([each])), pack=1)
        for name, each in contents.items()
    }
    pack = Pack((), packer.close(), len(data))
    made = make_filesystem(Directory(names=names), [hole, pack], compression, TIME)
    image = tmp_path / "far.squashfs"
    with image.open("wb") as file:
        file.write(made.superblock)
        file.seek(hole.size, os.SEEK_CUR)
        file.write(data + made.tables)
    assert image.stat().st_size == made.size > 5 << 30
    assert image.stat().st_blocks * 512 < 64 << 20, "a file with a hole"
    with SquashfsReader(image, 0, made.size) as reader:
        assert {e.path: b"".join(e.chunks()) for e in reader.entries()} == contents
    for opened in (unpacked, mounted):
        with opened(image, tmp_path) as root:
            assert {path.name: path.read_bytes() for path in root.iterdir()} == contents


@codecs
def test_the_order_of_names_does_not_matter(compression: SquashfsCompression) -> None:
    sketch = Sketch(compression)
    everything(sketch)
    before, data = sketch.make()
    chance = random.Random(5)
    for node in [sketch.root, *(node for _, node in walk(sketch.root))]:
        if isinstance(node, Directory):
            names = list(node.names.items())
            chance.shuffle(names)
            node.names = dict(names)
    assert sketch.make() == (before, data)
    other = Sketch(compression)
    everything(other)
    assert other.make() == (before, data)


def test_what_differs_changes_bytes() -> None:
    made = set()
    for name, content, mode, time in (
        ("a", b"x", 0o644, TIME),
        ("b", b"x", 0o644, TIME),
        ("a", b"y", 0o644, TIME),
        ("a", b"x", 0o755, TIME),
        ("a", b"x", 0o644, TIME + 1),
    ):
        sketch = Sketch(SquashfsCompression.GZIP)
        sketch.file(name, content, mode)
        _, data = sketch.make()
        pack = Pack((), ((0, len(data) | 1 << 24),), len(data))
        found = make_filesystem(sketch.root, [pack], SquashfsCompression.GZIP, time)
        made.add(found.superblock + data + found.tables)
    assert len(made) == 5


@given(st.sampled_from(CODECS), st.binary(max_size=40), st.integers(0, 3), st.data())
@SMALL
def test_the_chunks_of_a_file_do_not_matter(
    compression: SquashfsCompression, seed: bytes, blocks: int, data: st.DataObject
) -> None:
    content = noise(BLOCK * blocks, len(seed)) + seed
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=5)))
    chunks = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    written = []
    for pieces in ([content], chunks):
        out = bytearray()
        packer = PackWriter(out.extend, compression)
        packer.add(3, iter([b"abc"]))
        packed = packer.add(len(content), iter(pieces))
        written.append((packed, packer.close(), packer.size, bytes(out)))
    assert written[0] == written[1]


@pytest.mark.parametrize("size", [10, BLOCK - 1, BLOCK, 2 * BLOCK + 5])
@pytest.mark.parametrize("more", [-1, 1])
def test_content_of_another_size_than_said_is_an_error(size: int, more: int) -> None:
    packer = PackWriter(lambda _: None, SquashfsCompression.GZIP)
    with pytest.raises(ImageError, match=f"{size}"):
        packer.add(size, iter([bytes(size + more)]))


def test_a_pack_comes_back_from_json() -> None:
    packer = PackWriter(lambda _: None, SquashfsCompression.ZSTD)
    contents = [packer.add(len(each), iter([each])) for each in (b"", b"x", noise(3 * BLOCK))]
    rows = [Row(f"f{n}", "file", 0o644, content=each) for n, each in enumerate(contents)]
    rows += [Row("l", "symlink", 0o777, "f0"), Row("d", "special 3", 0o600, device=0x103)]
    pack = Pack(tuple(rows), packer.close(), packer.size)
    assert pack_from_json(json.loads(json.dumps(pack_to_json(pack)))) == pack


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=60
).filter(lambda name: name not in (".", "..")) | st.text("ab.-_", min_size=1, max_size=3).filter(
    lambda name: name.strip(".")
)
SIZES = st.sampled_from([0, 1, 2, 700, 70_000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK])
MODES = st.integers(0, 0o7777)


@st.composite
def sketches(draw: st.DrawFn) -> Sketch:
    sketch = Sketch(draw(st.sampled_from(CODECS)), Directory(draw(MODES)))
    directories = [""]
    leaves: list[str] = []
    kinds = st.sampled_from(["file", "file", "directory", "symlink", "link", "special", "pack"])
    for kind in draw(st.lists(kinds, max_size=25)):
        above = draw(st.sampled_from(directories))
        path = f"{above}{draw(NAMES)}"
        if kind == "pack":
            sketch.begin_pack()
        if path in sketch.expected or kind == "pack":
            continue
        if kind == "directory":
            sketch.directory(path, draw(MODES))
            directories.append(f"{path}/")
            continue
        if kind == "link" and leaves:
            sketch.link(path, draw(st.sampled_from(leaves)))
            continue
        if kind == "symlink":
            sketch.symlink(path, draw(NAMES))
        elif kind == "special":
            sketch.special(path, InodeType.FIFO, draw(MODES))
        else:
            made = draw(st.sampled_from([text, noise, lambda size, _: bytes(size)]))
            sketch.file(path, made(draw(SIZES), len(leaves)), draw(MODES))
        leaves.append(path)
    return sketch


@given(sketches())
@SMALL
def test_any_tree_is_read_back(tmp_path_factory: pytest.TempPathFactory, sketch: Sketch) -> None:
    image = sketch.write(tmp_path_factory.mktemp("any") / "any.squashfs")
    got = read_back(image)
    assert not differing(sketch.seen(), got)
    assert list(got) == list(sketch.seen())
    image.unlink()


@pytest.mark.parametrize("reader", ["unsquashfs", "kernel"])
def test_any_tree_is_seen_by_others(tmp_path_factory: pytest.TempPathFactory, reader: str) -> None:
    @given(sketches())
    @settings(SMALL, max_examples=20)
    def seen(sketch: Sketch) -> None:
        work = tmp_path_factory.mktemp("any")
        image = sketch.write(work / "any.squashfs")
        with OTHERS[reader](image, work) as root:
            assert not differing(sketch.seen(), on_disk(root))
        image.unlink()

    seen()
