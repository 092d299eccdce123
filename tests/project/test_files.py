"""Files come out as they were when they were digested, or not at all."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from pixi_ship.digest import BLOCK
from pixi_ship.errors import ProjectError
from pixi_ship.layer.compress import Compression
from pixi_ship.layer.write import WrittenLayer, write_layer
from pixi_ship.project.files import ProjectFiles, ProjectTree, read_files
from pixi_ship.tree import File, Symlink

from .made import find, make


def files_of(root: Path, *includes: str) -> ProjectFiles:
    return read_files(find(root, *includes))


def layer(files: ProjectFiles) -> tuple[WrittenLayer, bytes]:
    pieces: list[bytes] = []
    written = write_layer(ProjectTree(files), pieces.append, Compression.GZIP)
    return written, b"".join(pieces)


def test_a_layer_of_them(tmp_path: Path) -> None:
    root = make(tmp_path, {"run.sh": "#!/bin/sh\n", "d/a\nb": b"\0\xff" * BLOCK, "e": ""})
    (root / "run.sh").chmod(0o700)
    (root / "link").symlink_to("d/a\nb")
    files = files_of(root, ".")
    _, data = layer(files)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {member.name: member for member in tar.getmembers()}
        content = tar.extractfile("app/d/a\nb")
        assert content is not None
        assert content.read() == b"\0\xff" * BLOCK
    assert found["app/run.sh"].mode == 0o755
    assert found["app/e"].mode == 0o644
    assert found["app/link"].linkname == "d/a\nb"
    assert list(found) == ["app", "app/d", "app/d/a\nb", "app/e", "app/link", "app/run.sh"]
    assert files.size == 2 * BLOCK + 10


def test_the_digest_is_of_place_mode_and_content_alone(tmp_path: Path) -> None:
    content: dict[str, str | bytes] = {"a": "1", "d/b": "2"}
    one, two = make(tmp_path / "one", content), make(tmp_path / "two", content)
    os.utime(two / "a", (1, 1))
    (two / "a").chmod(0o664)
    assert files_of(one, ".").digest == files_of(two, ".").digest
    assert layer(files_of(one, "."))[0].diff_id == layer(files_of(two, "."))[0].diff_id
    same = files_of(one, ".").digest
    others = [files_of(one, "a"), files_of(one, ".:x"), files_of(one, "a", "d/b:d/c")]
    (two / "a").chmod(0o755)
    others.append(files_of(two, "."))
    (two / "a").chmod(0o644)
    (two / "a").write_text("3")
    others.append(files_of(two, "."))
    (two / "a").unlink()
    (two / "a").symlink_to("d/b")
    others.append(files_of(two, "."))
    digests = {same, *(each.digest for each in others)}
    assert len(digests) == 1 + len(others)


def test_entries_can_be_taken_again(tmp_path: Path) -> None:
    tree = ProjectTree(files_of(make(tmp_path, {"a": "1", "b": "2"}), "."))
    for _ in range(2):
        entries = list(tree.entries())
        assert [entry.path for entry in entries] == ["app/a", "app/b"]
        assert [b"".join(each.content) for each in entries if isinstance(each, File)] == [
            b"1",
            b"2",
        ]
    assert not [each for each in tree.entries() if isinstance(each, Symlink)]


@pytest.mark.parametrize(
    ("content", "want"),
    [
        (b"12345", "got more than 4 bytes"),
        (b"123", "got 3 bytes, want 4"),
        (b"", "got 0 bytes, want 4"),
        (b"4321", "its content is another than before"),
        (None, "No such file or directory"),
    ],
)
def test_changed_after_it_was_digested(tmp_path: Path, content: bytes | None, want: str) -> None:
    root = make(tmp_path, {"a": "1234"})
    files = files_of(root, ".")
    if content is None:
        (root / "a").unlink()
    else:
        (root / "a").write_bytes(content)
    with pytest.raises(ProjectError) as caught:
        layer(files)
    assert str(caught.value).startswith(f"reading '{root}/a': ")
    assert want in str(caught.value)


@pytest.mark.parametrize("kind", ["link", "pipe", "directory", "longer", "shorter"])
def test_changed_after_it_was_found(tmp_path: Path, kind: str) -> None:
    (tmp_path / "secret").write_text("1234")
    root = make(tmp_path / "w", {"a": "1234"})
    found = find(root, ".")
    (root / "a").unlink()
    match kind:
        case "link":
            (root / "a").symlink_to("../secret")
        case "pipe":
            os.mkfifo(root / "a")
        case "directory":
            (root / "a").mkdir()
        case "longer":
            (root / "a").write_text("12345")
        case "shorter":
            (root / "a").write_text("123")
    with pytest.raises(ProjectError, match=r"reading '.*/a'"):
        read_files(found)


def test_a_growing_file_is_read_no_further_than_it_was(tmp_path: Path) -> None:
    root = make(tmp_path, {"a": "1234"})
    found = find(root, ".")
    with (root / "a").open("r+b") as file:
        file.truncate(100 << 30)
    with pytest.raises(ProjectError, match="got more than 4 bytes"):
        read_files(found)


def test_memory_holds_a_block_at_a_time(tmp_path: Path) -> None:
    root = make(tmp_path, {"a": b"x" * (3 * BLOCK + 5)})
    (entry,) = ProjectTree(files_of(root, "a")).entries()
    assert isinstance(entry, File)
    assert max(len(block) for block in entry.content) <= BLOCK
