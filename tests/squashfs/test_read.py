"""Our reader of squashfs reads what mksquashfs makes, and refuses what no kernel would show so.

What mksquashfs made is held against the directory that it was made from. What is hostile is a
filesystem of ours with bytes changed at one place, each with the error that it must give.
"""

from __future__ import annotations

import lzma
import os
import socket
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import zstandard

from pixi_ship.errors import ImageError
from pixi_ship.squashfs.compress import compressor, expander
from pixi_ship.squashfs.filesystem import Directory
from pixi_ship.squashfs.format import InodeType, SquashfsCompression
from pixi_ship.squashfs.read import SquashfsReader

from ..contract.tools import need, output
from .sketch import (
    BLOCK,
    TIME,
    Seen,
    Sketch,
    differing,
    noise,
    on_disk,
    read_back,
    text,
    uncompressed,
)

QUIET = ("-quiet", "-no-progress", "-processors", "1", "-noappend")
OPTIONS = {
    "gzip": "",
    "xz": "-comp xz",
    "zstd": "-comp zstd",
    "lz4": "-comp lz4",
    "lz4 hard": "-comp lz4 -Xhc",
    "4K": "-b 4K",
    "1M": "-b 1M -comp zstd",
    "no fragments": "-no-fragments",
    "always fragments": "-always-use-fragments",
    "always fragments of 4K": "-always-use-fragments -b 4K -comp xz",
    "no compression": "-noI -noD -noF -noX -noId",
    "inodes raw": "-noI",
    "data raw": "-noD",
    "fragments raw": "-noF",
    "attributes raw": "-noX",
    "owners raw": "-noId",
    "no duplicates": "-no-duplicates",
    "no sparse files": "-no-sparse",
    "no exports": "-no-exports",
    "no padding": "-nopad",
    "gzip strategies": "-Xstrategy filtered,huffman_only,run_length_encoded,fixed -Xwindow-size 9",
    "xz filters": "-comp xz -Xbcj x86,arm -Xdict-size 50%",
    "zstd hard": "-comp zstd -Xcompression-level 19 -b 256K",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of everything that a root filesystem may hold."""
    need("mksquashfs", root=True)
    root = tmp_path_factory.mktemp("source")
    (root / "empty").mkdir()
    (root / "many").mkdir()
    for number in range(2000):
        (root / "many" / f"a file whose name has number {number}").write_bytes(b"%d" % number)
    contents: dict[str, Callable[[int], bytes]] = {"text": text, "noise": noise, "zeros": bytes}
    for word, made in contents.items():
        for size in (0, 1, 4095, 4096, 4097, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5):
            (root / f"{word}{size}").write_bytes(made(size))
    (root / "again").write_bytes(text(3 * BLOCK + 5))
    with (root / "sparse").open("wb") as file:
        file.seek(5 << 20)
        file.write(b"end")
    _names(root)
    os.mknod(root / "null", 0o020666, os.makedev(1, 3))
    os.mknod(root / "disk", 0o060660, os.makedev(259, 70_000))
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(f"{root}/socket")
    for number, name in enumerate(("text1", "many", "link", "null", "pipe", "socket")):
        os.chown(root / name, 1000 + number, 4_000_000_000 + number, follow_symlinks=False)
    for mode, name in ((0o4755, "text0"), (0o2755, "empty"), (0o1777, "many"), (0, "noise1")):
        (root / name).chmod(mode)
    _attributes(root)
    # mksquashfs takes two names for two inodes if one's time of access changes meanwhile, which
    # it does when a link is read for the first time.
    on_disk(root, time=None)
    return root


def _names(root: Path) -> None:
    deep = root
    for _ in range(60):
        deep /= "a directory in a directory"
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"down here")
    (root / "文字 und ü").write_bytes(b"name")
    (root / ("n" * 255)).write_bytes(b"long name")
    (root / "link").symlink_to("many/../text1")
    (root / "long link").symlink_to("x" * 4095)
    (root / "zz").hardlink_to(root / "text1")
    (root / "many" / "0").hardlink_to(root / "text1")
    os.link(root / "link", root / "link again", follow_symlinks=False)


def _attributes(root: Path) -> None:
    capability = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
    large = noise(1500)
    for name in ("text4096", "zz", "many", "sparse"):
        os.setxattr(root / name, "user.large", large)
        os.setxattr(root / name, f"user.of {name}", name.encode())
    os.setxattr(root / "text4096", "security.capability", capability)
    os.setxattr(root / "text4097", "security.capability", capability)
    os.setxattr(root / "noise0", "user.empty", b"")
    for name in ("link", "null", "disk", "pipe", "socket", "many"):
        os.setxattr(root / name, "trusted.of", name.encode(), follow_symlinks=False)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_what_mksquashfs_made_is_read(source: Path, tmp_path: Path, options: str) -> None:
    image = tmp_path / "made.squashfs"
    output("mksquashfs", source, image, *QUIET, *options.split())
    want = on_disk(source, time=None, xattrs=True)
    got = read_back(image)
    assert not differing(want, got)
    assert list(got) == list(want)
    assert any(seen.xattrs for seen in got.values())


def test_what_was_appended_is_read(source: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    (more / "new").write_bytes(text(BLOCK + 3, 5))
    (more / "new again").hardlink_to(more / "new")
    image = tmp_path / "made.squashfs"
    output("mksquashfs", source, image, *QUIET)
    output("mksquashfs", more, image, *QUIET[:-1])
    want = {**on_disk(source, time=None, xattrs=True), **on_disk(more, time=None)}
    assert not differing(want, read_back(image))


def test_without_attributes_there_are_none(source: Path, tmp_path: Path) -> None:
    image = tmp_path / "made.squashfs"
    output("mksquashfs", source, image, *QUIET, "-no-xattrs", "-all-root")
    got = read_back(image)
    assert not any(seen.xattrs for seen in got.values())
    assert {seen.owner for seen in got.values()} == {(0, 0)}


def test_names_outside_utf_8_are_read_as_in_a_tar(tmp_path: Path) -> None:
    need("mksquashfs")
    folder, image = tmp_path / "folder", tmp_path / "made.squashfs"
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9")).write_bytes(b"latin-1")
    (folder / "link").symlink_to(os.fsdecode(b"caf\xe9"))
    output("mksquashfs", folder, image, *QUIET)
    got = read_back(image)
    assert sorted(got) == ["caf\ufffd", "link"]
    assert got["link"].target == "caf\ufffd"
    (folder / os.fsdecode(b"caf\xe8")).write_bytes(b"another that reads the same")
    output("mksquashfs", folder, image, *QUIET)
    with pytest.raises(ImageError, match="two names outside UTF-8"):
        read_back(image)


@pytest.mark.parametrize(("codec", "number"), [("lzma", 2), ("lzo", 3)])
def test_other_codecs_are_named(tmp_path: Path, codec: str, number: int) -> None:
    need("mksquashfs")
    (tmp_path / "folder").mkdir()
    image = tmp_path / "made.squashfs"
    output("mksquashfs", tmp_path / "folder", image, *QUIET, "-comp", codec)
    with pytest.raises(ImageError, match=f"{image}.* codec {number}, want gzip, lz4, xz or zstd"):
        read_back(image)


# What follows is about bytes that no tool writes.


@pytest.mark.parametrize("compression", SquashfsCompression)
def test_a_block_is_whole_and_no_larger_than_it_may_be(compression: SquashfsCompression) -> None:
    expand, block = expander(compression.number), text(5000)
    packed = compressor(compression)(block)
    assert expand(packed, 5000) == expand(packed, 8192) == block
    with pytest.raises(ImageError, match="larger than it may be"):
        expand(packed, 4999)
    for end in range(len(packed)):
        try:
            part = expand(packed[:end], 8192)
        except ImageError:
            continue
        # A block of lz4 has no end of its own; whoever reads one knows how long it has to be.
        assert compression is SquashfsCompression.LZ4
        assert len(part) < len(block)
    with pytest.raises(ImageError, match="damaged"):
        expand(b"?" * 50, 8192)


def test_a_block_of_unknown_size_is_bounded_too() -> None:
    stream = zstandard.ZstdCompressor().compressobj()
    bomb = stream.compress(bytes(8 << 20)) + stream.flush()
    for number, packed in (
        (1, zlib.compress(bytes(8 << 20))),
        (4, lzma.compress(bytes(8 << 20))),
        (6, bomb),
    ):
        with pytest.raises(ImageError):
            expander(number)(packed, 8192)


FIELDS = {
    "magic": (0, "I"),
    "inodes": (4, "I"),
    "block size": (12, "I"),
    "codec": (20, "H"),
    "log": (22, "H"),
    "ids": (26, "H"),
    "major": (28, "H"),
    "minor": (30, "H"),
    "root": (32, "Q"),
    "used": (40, "Q"),
    "id table": (48, "Q"),
    "xattr table": (56, "Q"),
    "inode table": (64, "Q"),
    "directory table": (72, "Q"),
    "fragment table": (80, "Q"),
}
"""Of the superblock: where each field is, and its form."""

A, BB, E, DD, LL, ROOT = range(1, 7)  # the numbers of the inodes


class Image:
    """A filesystem whose tables are not compressed, to be changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        sketch = Sketch(SquashfsCompression.GZIP, Directory())
        sketch.file("a", b"small one")
        sketch.file("bb", noise(2 * BLOCK))
        sketch.directory("dd")
        sketch.file("dd/e", b"small too")
        sketch.symlink("ll", "target")
        self.data = bytearray(sketch.write(path).read_bytes())

    def field(self, name: str) -> int:
        at, form = FIELDS[name]
        return int(struct.unpack_from(f"<{form}", self.data, at)[0])

    def set_field(self, name: str, value: int) -> None:
        at, form = FIELDS[name]
        struct.pack_into(f"<{form}", self.data, at, value)

    def inode(self, number: int) -> int:
        """Where an inode is: its time and number are found together only there."""
        found = self.data.index(struct.pack("<II", TIME, number), self.field("inode table"))
        return found - 8

    def offset(self, number: int) -> int:
        """Of an inode, in the only block of the inode table."""
        return self.inode(number) - self.field("inode table") - 2

    def entry(self, name: bytes) -> int:
        """Where a name's entry in its directory is."""
        mark = struct.pack("<H", len(name) - 1) + name
        return self.data.index(mark, self.field("directory table")) - 6

    def set_entry(self, name: bytes, *, inode: int, kind: int) -> None:
        """Let a name of the root mean another inode."""
        first = struct.unpack_from("<I", self.data, self.entry(b"a") - 4)[0]
        row = struct.pack("<HhH", self.offset(inode), inode - first, kind)
        self.put(self.entry(name), row)

    def rename(self, name: bytes, other: bytes) -> None:
        assert len(name) == len(other)
        self.put(self.entry(name) + 8, other)

    def put(self, at: int, data: bytes) -> None:
        self.data[at : at + len(data)] = data

    def put_number(self, at: int, form: str, value: int) -> None:
        struct.pack_into(f"<{form}", self.data, at, value)

    def read(self) -> dict[str, Seen]:
        self.path.write_bytes(self.data)
        return read_back(self.path)


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    uncompressed(monkeypatch)
    return Image(tmp_path / "raw.squashfs")


def test_the_unchanged_image_is_read(image: Image) -> None:
    assert list(image.read()) == ["a", "bb", "dd", "dd/e", "ll"]
    assert [image.data[image.inode(number)] for number in (A, BB, E, DD, LL, ROOT)] == [
        *(InodeType.FILE, InodeType.FILE, InodeType.FILE),
        *(InodeType.DIRECTORY, InodeType.SYMLINK, InodeType.DIRECTORY),
    ]


SUPERBLOCK: Mapping[str, tuple[str, int, str]] = {
    "no squashfs": ("magic", 0x12345678, "no squashfs, its mark"),
    "version 3": ("major", 3, "version 3.0, want 4.0"),
    "version 4.1": ("minor", 1, "version 4.1, want 4.0"),
    "blocks of no power of two": ("block size", 5000, "blocks of 5000 bytes"),
    "blocks of 2 KiB": ("block size", 2048, "blocks of 2048 bytes"),
    "blocks of 2 MiB": ("block size", 2 << 20, "blocks of 2097152 bytes"),
    "another logarithm": ("log", 16, "blocks of 131072 bytes"),
    "an absurd logarithm": ("log", 0xFFFF, "blocks of 131072 bytes"),
    "codec 0": ("codec", 0, "codec 0, want gzip, lz4, xz or zstd"),
    "more bytes than the file": ("used", 1 << 40, "says 1099511627776"),
    "no bytes": ("used", 0, "says 0"),
    "owners outside": ("id table", 1 << 40, "outside of it"),
    "owners in the superblock": ("id table", 90, "outside of it"),
    "inodes outside": ("inode table", 1 << 63, "outside of it"),
    "directories outside": ("directory table", 1 << 32, "outside of it"),
    "fragments outside": ("fragment table", 1 << 32, "outside of it"),
    "attributes outside": ("xattr table", 1 << 32, "outside of it"),
    "no owners": ("ids", 0, "has no owner 0, it has 0"),
    "fewer inodes": ("inodes", 3, "has inode 6, it has 3"),
    "a root nowhere": ("root", 1 << 40, "refers to bytes"),
    "a root behind its block": ("root", 0x1FFF, "behind a metadata block's end"),
    "a root at an absurd offset": ("root", 0xFFFF, "at 65535 of a metadata block"),
}


@pytest.mark.parametrize(("name", "value", "words"), SUPERBLOCK.values(), ids=SUPERBLOCK)
def test_a_superblock_that_cannot_be(image: Image, name: str, value: int, words: str) -> None:
    image.set_field(name, value)
    with pytest.raises(ImageError, match=words):
        image.read()


def test_tables_out_of_order(image: Image) -> None:
    image.set_field("directory table", image.field("inode table"))
    with pytest.raises(ImageError, match="out of order"):
        image.read()


def test_a_root_that_is_a_file(image: Image) -> None:
    image.set_field("root", image.offset(A))
    with pytest.raises(ImageError, match="root that is no directory"):
        image.read()


def _same_number(image: Image) -> None:
    image.put_number(image.inode(BB) + 12, "I", A)
    image.put_number(image.entry(b"bb") + 2, "h", 0)


def _second_fragment_block(image: Image) -> None:
    image.put_number(image.inode(A) + 20, "I", 1)


def _entry_number(image: Image) -> None:
    image.put_number(image.entry(b"bb") + 2, "h", 2)


def _block(word: int) -> Callable[[Image], None]:
    return lambda image: image.put_number(image.inode(BB) + 32, "I", word)


def _at_inode(number: int, offset: int, form: str, value: int) -> Callable[[Image], None]:
    return lambda image: image.put_number(image.inode(number) + offset, form, value)


def _at_entry(name: bytes, offset: int, form: str, value: int) -> Callable[[Image], None]:
    return lambda image: image.put_number(image.entry(name) + offset, form, value)


def _renamed(name: bytes, other: bytes) -> Callable[[Image], None]:
    return lambda image: image.rename(name, other)


def _table(name: str, word: int) -> Callable[[Image], None]:
    return lambda image: image.put_number(image.field(name), "H", word)


RAW = 1 << 24
CHANGES: Mapping[str, tuple[Callable[[Image], None], str]] = {
    "a slash": (_renamed(b"bb", b"b/"), r"named b'b/'"),
    "a NUL": (_renamed(b"bb", b"b\0"), r"named b'b\\x00'"),
    "dot": (_renamed(b"a", b"."), r"named b'\.'"),
    "dot dot": (_renamed(b"bb", b".."), r"named b'\.\.'"),
    "the same name twice": (_renamed(b"dd", b"bb"), "lists b'bb' after b'bb'"),
    "names out of order": (_renamed(b"bb", b"zz"), "lists b'dd' after b'zz'"),
    "a name of 257 bytes": (_at_entry(b"bb", 6, "H", 256), "a name of 257 bytes"),
    "a header of 257 names": (_at_entry(b"a", -12, "I", 256), "header of 257 names"),
    "a header of one name less": (_at_entry(b"a", -12, "I", 2), "."),
    "a header of one name more": (_at_entry(b"a", -12, "I", 4), "."),
    "a type that is none": (_at_entry(b"bb", 4, "H", 9), "lists b'bb' as of type 9"),
    "another type": (_at_entry(b"bb", 4, "H", 3), "as another inode than it is"),
    "another number": (_entry_number, "as another inode than it is"),
    "an inode behind its block": (_at_entry(b"bb", 0, "H", 8000), "behind a metadata block"),
    "an inode at an absurd offset": (_at_entry(b"bb", 0, "H", 0x2000), "at 8192 of a metadata"),
    "the root in itself": (
        lambda image: image.set_entry(b"dd", inode=ROOT, kind=1),
        "directory '' a second time, as 'dd'",
    ),
    "a directory twice": (
        lambda image: image.set_entry(b"ll", inode=DD, kind=1),
        "directory 'dd' a second time, as 'll'",
    ),
    "two inodes of one number": (_same_number, "two inodes of number 1"),
    "an inode of number 0": (_at_inode(ROOT, 12, "I", 0), "has inode 0"),
    "an inode of type 15": (_at_inode(A, 0, "H", 15), "inode of type 15"),
    "an inode of type 0": (_at_inode(A, 0, "H", 0), "inode of type 0"),
    "a mode with a type": (_at_inode(A, 2, "H", 0o140644), "mode 140644"),
    "an owner that is none": (_at_inode(A, 4, "H", 1), "no owner 1, it has 1"),
    "a group that is none": (_at_inode(A, 6, "H", 0xFFFF), "no owner 65535, it has 1"),
    "a block that is too large": (_block(BLOCK + 1 | RAW), "takes 131073"),
    "a block of no bytes": (_block(RAW), "takes 0"),
    "a block with an unknown bit": (_block(BLOCK | RAW | 1 << 25), "takes"),
    "a block that is too short": (_block(BLOCK - 1 | RAW), "of 131071 bytes, want 131072"),
    "a block that is no zlib": (_block(BLOCK - 1), "is damaged"),
    "a file that starts nowhere": (_at_inode(BB, 16, "I", 0xFFFFFFF0), "refers to bytes"),
    "a file of many blocks": (_at_inode(BB, 28, "I", 0xFFFFFFFF), "."),
    "a fragment block that is none": (_second_fragment_block, "no fragment block 1, it has 1"),
    "a fragment outside its block": (_at_inode(A, 24, "I", 10), "outside its fragment block"),
    "a fragment far outside": (_at_inode(A, 24, "I", 0xFFFFFFFF), "outside its fragment"),
    "a small file that is larger": (_at_inode(A, 28, "I", 19), "outside its fragment"),
    "a link of 4096 bytes": (_at_inode(LL, 20, "I", 4096), "symbolic link of 4096 bytes"),
    "a link with a NUL": (_at_inode(LL, 26, "B", 0), "symbolic link to"),
    "a listing that is longer": (_at_inode(ROOT, 24, "H", 0xFFFF), "."),
    "a listing that is shorter": (_at_inode(ROOT, 24, "H", 40), "do not fill its listing"),
    "a listing that is nowhere": (_at_inode(ROOT, 16, "I", 1 << 30), "refers to bytes"),
    "a listing behind its block": (_at_inode(ROOT, 26, "H", 8000), "behind a metadata block"),
    "an empty metadata block": (_table("inode table", 0x8000), "metadata block of 0 bytes"),
    "a large metadata block": (_table("inode table", 0xFFFF), "metadata block of 32767 bytes"),
    "a metadata block that is no zlib": (_table("inode table", 50), "is damaged"),
}


@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_refused(image: Image, change: Callable[[Image], None], words: str) -> None:
    before = bytes(image.data)
    change(image)
    assert image.data != before
    with pytest.raises(ImageError, match=words) as found:
        image.read()
    assert str(found.value).startswith(f"reading {image.path}: ")


def test_a_file_that_ends_early_is_refused(image: Image) -> None:
    whole = bytes(image.data)
    for end in (*range(100), *range(100, len(whole), 10_007), len(whole) - 4096):
        image.data = bytearray(whole[:end])
        with pytest.raises(ImageError):
            image.read()


def test_a_stretch_outside_the_file_is_refused(image: Image) -> None:
    image.read()
    size = len(image.data)
    for offset, length in ((0, size + 1), (1, size), (-1, size), (size + 1, 0), (1 << 62, 1)):
        with pytest.raises(ImageError, match="outside the file"):
            SquashfsReader(image.path, offset, length)
    with pytest.raises(ImageError, match="No such file"):
        SquashfsReader(image.path.with_name("none"), 0, 1)


def test_a_file_cut_while_it_is_read_is_an_error(image: Image) -> None:
    image.read()
    with SquashfsReader(image.path, 0, len(image.data)) as reader:
        os.truncate(image.path, 5000)
        with pytest.raises(ImageError, match="ends too early"):
            list(reader.entries())


def test_a_second_name_is_a_hard_link_also_where_the_inode_counts_one(image: Image) -> None:
    image.set_entry(b"bb", inode=A, kind=2)
    image.read()
    with SquashfsReader(image.path, 0, len(image.data)) as reader:
        rows = {each.path: each for each in reader.entries()}
    second = rows["bb"]
    assert (second.kind, second.link, second.size) == ("hardlink", "a", 0)
    assert (rows["a"].kind, second.inode, list(second.chunks())) == ("file", A, [])


def test_an_inode_may_be_named_before_the_walk_gets_to_its_directory(tmp_path: Path) -> None:
    sketch = Sketch(SquashfsCompression.ZSTD)
    sketch.directory("z")
    sketch.file("z/first", b"x")
    sketch.link("a", "z/first")
    image = sketch.write(tmp_path / "links.squashfs")
    with SquashfsReader(image, 0, image.stat().st_size) as reader:
        found = [(each.path, each.kind, each.link) for each in reader.entries()]
    assert found == [("a", "file", ""), ("z", "directory", ""), ("z/first", "hardlink", "a")]


INDEXED = 1500
WRONG_INDEXES: Mapping[str, tuple[int, str, int]] = {
    "place": (0, "I", 1),
    "block": (4, "I", 1),
    "size of the name": (8, "I", 0xFFFFFFFF),
    "name": (12, "B", 0x7F),
}


@pytest.mark.parametrize(("offset", "form", "value"), WRONG_INDEXES.values(), ids=WRONG_INDEXES)
def test_an_index_that_leads_astray_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: int, form: str, value: int
) -> None:
    """The kernel looks names up by the index, and lists them without it."""
    uncompressed(monkeypatch)
    sketch = Sketch(SquashfsCompression.GZIP)
    sketch.directory("many")
    for number in range(INDEXED):
        sketch.symlink(f"many/some name {number:04}", "x")
    path = sketch.write(tmp_path / "indexed.squashfs")
    assert not differing(sketch.seen(), read_back(path))
    data = bytearray(path.read_bytes())
    # The directory's inode comes after its links; what follows it is its index.
    inode = data.index(struct.pack("<II", TIME, INDEXED + 1)) - 8
    assert data[inode] == InodeType.EXTENDED_DIRECTORY
    assert struct.unpack_from("<H", data, inode + 32)[0] > 1
    struct.pack_into(f"<{form}", data, inode + 40 + offset, value)
    path.write_bytes(data)
    with pytest.raises(ImageError, match="index is wrong"):
        read_back(path)


ATTRIBUTES: Mapping[str, tuple[bytes, bytes, str]] = {
    "two of one name": (b"bravo", b"alpha", "two attributes b'user.alpha'"),
    "an unknown prefix": (b"\0\0\5\0alpha", b"\3\0\5\0alpha", "extended attribute 3:b'alpha'"),
    "a NUL": (b"alpha", b"al\0ha", "extended attribute 0:"),
    "a value nowhere": (b"\0\0\5\0alpha", b"\0\1\5\0alpha", "refers to bytes"),
    "a place of 4 bytes": (b"\0\0\5\0bravo", b"\0\1\5\0bravo", "where the value of b'bravo' is"),
    "a large value": (b"alpha\x08\0\0\0", b"alpha\1\0\1\0", "attribute of 65537 bytes"),
}


@pytest.mark.parametrize(("old", "new", "words"), ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_attributes_that_cannot_be(tmp_path: Path, old: bytes, new: bytes, words: str) -> None:
    need("mksquashfs")
    folder, path = tmp_path / "folder", tmp_path / "made.squashfs"
    folder.mkdir()
    (folder / "file").write_bytes(b"x")
    os.setxattr(folder / "file", "user.alpha", b"\xff" * 8)
    os.setxattr(folder / "file", "user.bravo", b"four")
    output("mksquashfs", folder, path, *QUIET, "-noX")
    assert len(read_back(path)["file"].xattrs) == 2
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    with pytest.raises(ImageError, match=words):
        read_back(path)


def test_limits(tmp_path: Path) -> None:
    """A small file that says that it holds much."""
    sketch = Sketch(SquashfsCompression.ZSTD)
    for number in range(50):
        sketch.file(f"zeros{number}", bytes(40 * BLOCK))
    sketch.file("one", b"1")
    path = sketch.write(tmp_path / "zeros.squashfs")
    size = path.stat().st_size
    assert size < 8192
    whole = 50 * 40 * BLOCK + 1
    with SquashfsReader(path, 0, size, max_unpacked=whole) as reader:
        assert sum(each.size for each in reader.entries()) == whole
    with (
        SquashfsReader(path, 0, size, max_unpacked=whole - 1) as reader,
        pytest.raises(ImageError, match="files of more bytes than it may"),
    ):
        list(reader.entries())
    with SquashfsReader(path, 0, size, max_entries=51) as reader:
        assert len(list(reader.entries())) == 51
    with (
        SquashfsReader(path, 0, size, max_entries=50) as reader,
        pytest.raises(ImageError, match="more entries than any image needs"),
    ):
        list(reader.entries())


def test_what_is_read_again_and_again_counts_each_time(tmp_path: Path) -> None:
    sketch = Sketch(SquashfsCompression.ZSTD)
    sketch.file("zeros", bytes(4 * BLOCK))
    path = sketch.write(tmp_path / "zeros.squashfs")
    limit = 10 * BLOCK
    with SquashfsReader(path, 0, path.stat().st_size, max_unpacked=limit) as reader:
        (entry,) = reader.entries()
        assert sum(map(len, entry.chunks())) == sum(map(len, entry.chunks())) == 4 * BLOCK
        with pytest.raises(ImageError, match=f"more than {limit} bytes"):
            list(entry.chunks())
