"""Broken and malicious packages: one sentence with the package's name, and nothing left behind."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard

from ..channel.conda_package import CondaPackage, File
from ..tiny import Ran, Tiny, info_of, member, paths_json, raw_bz2, raw_conda, raw_wheel, tar_of

CONDA = "thing-1.0-0.conda"
WHEEL = "thing-1.0-py3-none-any.whl"
REPLACED = (
    "  hint: the file is damaged, or was replaced after the lock was written; "
    "run 'pixi update' if the new one is wanted"
)
BOMB = "it unpacks to more bytes than it may (a decompression bomb?)"


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def broken_metadata(problem: str) -> str:
    return f"error: reading {CONDA}: its metadata cannot be used: {problem}"


# What comes from outside


def test_other_bytes_than_the_lock_says(tiny: Tiny) -> None:
    good = tiny.good()
    tiny.lock(good)
    data = good.read_bytes()
    bad = data[:-1] + b"?"
    good.write_bytes(bad)
    message = f"digest is {sha256(bad)}, the lock says {sha256(data)}"
    tiny.refused(f"error: reading {good.name}: {message}", REPLACED)
    assert not any((tiny.cache / "archives").glob("*"))
    good.write_bytes(data)
    tiny.works()


def test_more_bytes_than_the_lock_says(tiny: Tiny) -> None:
    good = tiny.good()
    tiny.lock(good)
    data = good.read_bytes()
    good.write_bytes(data + b"?")
    message = f"more than the {len(data)} bytes of the lock came"
    tiny.refused(f"error: fetching {good.name}: {message}", REPLACED)
    good.write_bytes(data)
    tiny.works()


def test_md5_of_an_archive_without_sha256(tiny: Tiny) -> None:
    good = tiny.good()
    data = good.read_bytes()
    want = hashlib.md5(data, usedforsecurity=False).hexdigest()
    tiny.lock(good, sha256=None, md5=want)
    bad = data[:-1] + b"?"
    good.write_bytes(bad)
    got = hashlib.md5(bad, usedforsecurity=False).hexdigest()
    message = f"digest is md5:{got}, the lock says md5:{want}"
    tiny.refused(f"error: reading {good.name}: {message}", REPLACED)
    good.write_bytes(data)
    tiny.works()


def test_archive_that_is_gone(tiny: Tiny) -> None:
    good = tiny.good()
    tiny.lock(good)
    data = good.read_bytes()
    good.unlink()
    tiny.refused(
        f"error: fetching {good.name} from {good}: No such file or directory",
        "  hint: the lock names this file: put it there, or run 'pixi lock' where it moved",
    )
    good.write_bytes(data)
    tiny.works()


def test_offline(tiny: Tiny) -> None:
    good = tiny.good()
    tiny.lock(good, urls={good: f"https://nowhere.test/linux-64/{good.name}"})
    tiny.refused(
        f"error: {good.name} is not in the cache, and --offline forbids to fetch it",
        "  hint: run once without --offline",
        more=["--offline"],
    )


@pytest.mark.parametrize("keep", [0, 3, 100, 1000])
def test_truncated_conda(tiny: Tiny, keep: int) -> None:
    good = tiny.good()
    data = good.read_bytes()
    good.write_bytes(data[:keep])
    tiny.lock(good)
    if not keep:
        tiny.refused(
            f"error: reading {good.name}: it is neither a .conda (zip) nor a .tar.bz2 archive",
            "  hint: the channel or mirror gave something else; fetch it again",
        )
    else:
        tiny.refused(f"error: reading {good.name}: the archive is damaged (File is not a zip file)")
    good.write_bytes(data)
    tiny.works(good)


def test_truncated_tar_bz2(tiny: Tiny) -> None:
    bad = raw_bz2(tiny.channel, info_of(paths=paths_json("a")), [member("a", os.urandom(5000))])
    bad.write_bytes(bad.read_bytes()[:-2000])
    tiny.lock(bad)
    reason = "Compressed file ended before the end-of-stream marker was reached"
    tiny.refused(f"error: reading {bad.name}: the archive is damaged ({reason})")
    tiny.works(tiny.good())


def test_tar_bz2_truncated_within_a_large_file(tiny: Tiny) -> None:
    big = member("a", os.urandom(4 << 20))
    bad = raw_bz2(tiny.channel, info_of(paths=paths_json("a")), [big])
    bad.write_bytes(bad.read_bytes()[: 3 << 20])
    tiny.lock(bad)
    reason = "Compressed file ended before the end-of-stream marker was reached"
    tiny.refused(f"error: reading {bad.name}: the archive is damaged ({reason})")
    tiny.works(tiny.good())


def test_conda_whose_payload_ends_within_a_large_file(tiny: Tiny) -> None:
    whole = tar_of([member("a", os.urandom(4 << 20))])
    bad = raw_conda(tiny.channel, info_of(paths=paths_json("a")), whole[: 3 << 20])
    tiny.lock(bad)
    early = (4 << 20) + 512 - (3 << 20)
    tiny.refused(f"error: reading {CONDA}: the archive ends {early} bytes too early")
    tiny.works(tiny.good())


def test_conda_whose_zstd_frame_is_damaged_within_a_large_file(tiny: Tiny) -> None:
    packed = bytearray(
        zstandard.ZstdCompressor(write_checksum=True).compress(
            tar_of([member("a", os.urandom(4 << 20))])
        )
    )
    packed[-2] ^= 0xFF
    bad = raw_conda(tiny.channel, info_of(paths=paths_json("a")), bytes(packed), packed=True)
    tiny.lock(bad)
    ran = tiny.build()
    assert ran.err.startswith(f"error: reading {CONDA}: the archive is damaged (")
    tiny.failed_cleanly(ran, ran.err.rstrip("\n"))
    tiny.works(tiny.good())


def test_truncated_wheel(tiny: Tiny) -> None:
    bad = raw_wheel(tiny.channel, {"x.py": b"1\n"})
    data = bad.read_bytes()
    bad.write_bytes(data[:-20])
    tiny.lock(tiny.python(), bad)
    tiny.refused(f"error: reading {WHEEL}: the archive is damaged (File is not a zip file)")
    bad.write_bytes(data)
    tiny.works(tiny.python(), bad)


def test_wheel_with_a_damaged_member(tiny: Tiny) -> None:
    bad = raw_wheel(tiny.channel, {"x.txt": b"A" * 3000}, compression=zipfile.ZIP_STORED)
    bad.write_bytes(bad.read_bytes().replace(b"A" * 3000, b"A" * 2999 + b"B"))
    tiny.lock(tiny.python(), bad)
    tiny.refused(
        f"error: reading {WHEEL}: 'x.txt' is damaged (Bad CRC-32 for file 'x.txt')",
    )


# Bombs: refused, and in bounded memory


LIMIT = 2 << 30  # bytes of address space, of which the libraries take most
LIMITED = (
    "import resource, sys;"
    f"resource.setrlimit(resource.RLIMIT_DATA, ({LIMIT // 4}, {LIMIT // 4}));"
    "from pixi_ship.cli import main; main(sys.argv[1:])"
)


def build_limited(tiny: Tiny) -> Ran:
    words: Sequence[str] = [str(word) for word in tiny.words("--workers", "1")]
    done = subprocess.run([sys.executable, "-c", LIMITED, *words], capture_output=True, text=True)
    return Ran(done.returncode, done.stdout, done.stderr)


def zeros(path: str, size: int) -> bytes:
    """A zstd tar of one file of zeros, made piece by piece."""
    info, _ = member(path)
    info.size = size
    encoder = zstandard.ZstdCompressor(level=3).compressobj()
    pieces = [encoder.compress(info.tobuf(tarfile.GNU_FORMAT))]
    block = bytes(1 << 20)
    pieces += [encoder.compress(block) for _ in range(size >> 20)]
    pieces += [encoder.compress(bytes(1024)), encoder.flush()]
    return b"".join(pieces)


@pytest.mark.parametrize("path", ["x", "unlisted"])
def test_zstd_bomb(tiny: Tiny, path: str) -> None:
    bad = raw_conda(tiny.channel, info_of(paths=paths_json("x")), zeros(path, 1 << 30), packed=True)
    tiny.lock(bad)
    tiny.failed_cleanly(build_limited(tiny), f"error: reading {CONDA}: {BOMB}")
    tiny.works(tiny.good())


def test_bomb_of_metadata(tiny: Tiny) -> None:
    info = info_of(paths=paths_json()) | {"about.json": b" " * (300 << 20)}
    bad = raw_conda(tiny.channel, info, tar_of([]))
    tiny.lock(bad)
    tiny.failed_cleanly(build_limited(tiny), f"error: reading {CONDA}: {BOMB}")


def test_wheel_bomb(tiny: Tiny) -> None:
    bad = raw_wheel(tiny.channel, {"x.bin": bytes(300 << 20)})
    tiny.lock(tiny.python(), bad)
    tiny.failed_cleanly(build_limited(tiny), f"error: reading {WHEEL}: {BOMB}")


def test_wheel_that_lies_about_its_sizes(tiny: Tiny) -> None:
    bad = raw_wheel(tiny.channel, {"x.bin": bytes(64 << 20)})
    size = (64 << 20).to_bytes(4, "little")
    bad.write_bytes(bad.read_bytes().replace(size, (10).to_bytes(4, "little")))
    tiny.lock(tiny.python(), bad)
    ran = build_limited(tiny)
    assert ran.err.startswith(f"error: reading {WHEEL}: 'x.bin' is damaged (")
    tiny.failed_cleanly(ran, ran.err.rstrip("\n"))


# Members that no package may hold


MEMBERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "absolute path": ("/etc/x", {}, "absolute path '/etc/x' in the archive"),
    "climbing path": ("../x", {}, "path '../x' climbs out with '..' in the archive"),
    "climbing late": ("a/../../x", {}, "path 'a/../../x' climbs out with '..' in the archive"),
    "character device": (
        *("x", {"type": tarfile.CHRTYPE}),
        "'x' is a character device, which no package may hold",
    ),
    "block device": (
        *("x", {"type": tarfile.BLKTYPE}),
        "'x' is a block device, which no package may hold",
    ),
    "fifo": ("x", {"type": tarfile.FIFOTYPE}, "'x' is a named pipe, which no package may hold"),
    "sparse": (
        *("x", {"type": tarfile.GNUTYPE_SPARSE}),
        "'x' is a sparse file, which no package may hold",
    ),
    "name outside utf-8": ("x\udcff", {}, "a name outside UTF-8: b'x\\xff'"),
    "hard link out": (
        *("x", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}),
        "'x' is a hard link to '/etc/passwd', which came not before it",
    ),
    "hard link forward": (
        *("x", {"type": tarfile.LNKTYPE, "linkname": "later"}),
        "'x' is a hard link to 'later', which came not before it",
    ),
}


@pytest.mark.parametrize("kind", MEMBERS)
@pytest.mark.parametrize("form", ["conda", "bz2"])
def test_member(tiny: Tiny, kind: str, form: str) -> None:
    name, fields, problem = MEMBERS[kind]
    info, members = info_of(paths=paths_json("x")), [member(name, **fields)]
    if form == "conda":
        bad = raw_conda(tiny.channel, info, tar_of(members))
    else:
        bad = raw_bz2(tiny.channel, info, members)
    tiny.lock(bad)
    tiny.refused(f"error: reading {bad.name}: {problem}")
    tiny.works(tiny.good())


def test_duplicate_member(tiny: Tiny) -> None:
    payload = tar_of([member("x", b"1"), member("x", b"2")])
    tiny.lock(raw_conda(tiny.channel, info_of(paths=paths_json("x")), payload))
    tiny.refused(f"error: reading {CONDA}: the archive holds 'x' twice")


def test_huge_pax_header(tiny: Tiny) -> None:
    headers = {"comment": "y" * (2 << 20)}
    payload = tar_of([member("x", b"1", pax_headers=headers)], tarfile.PAX_FORMAT)
    tiny.lock(raw_conda(tiny.channel, info_of(paths=paths_json("x")), payload))
    tiny.refused(f"error: reading {CONDA}: an extended header of 2097169 bytes")


LINKED = json.dumps(
    {
        "paths": [
            {"_path": "lib", "path_type": "softlink"},
            {"_path": "lib/x", "path_type": "hardlink"},
        ]
    }
).encode()
LINK = member("lib", type=tarfile.SYMTYPE, linkname="/etc")


def test_file_below_a_link_of_the_same_package(tiny: Tiny) -> None:
    payload = tar_of([LINK, member("lib/x", b"1")])
    tiny.lock(raw_conda(tiny.channel, info_of(paths=LINKED), payload))
    tiny.refused(broken_metadata("info/paths.json: 'lib/x' lies below 'lib', which is a softlink"))
    tiny.works(tiny.good())


def test_link_that_claims_to_be_a_directory(tiny: Tiny) -> None:
    paths = LINKED.replace(b"softlink", b"directory")
    tiny.lock(
        raw_conda(tiny.channel, info_of(paths=paths), tar_of([LINK, member("lib/x", b"1")])),
        tiny.good("other"),
    )
    tiny.refused(
        f"error: reading {CONDA}: info/paths.json says 'lib' is a directory, "
        "in the archive it is a symlink"
    )


def test_link_of_one_package_under_the_files_of_another(tiny: Tiny) -> None:
    """As rattler does: who comes last in link order has the path, the other is put aside."""
    link = info_of("alink", paths=LINKED.replace(b"lib/x", b"share/a"))
    first = raw_conda(
        tiny.channel, link, tar_of([LINK, member("share/a", b"1")]), "alink-1.0-0.conda"
    )
    second = CondaPackage("beta", "1.0", [File("lib/y", b"y")]).write(tiny.channel)
    ran = tiny.works(first, second)
    prefix = "app/.pixi/envs/default"
    rows = listed(tiny, ran)
    assert f"link 777 0 {prefix}/lib -> /etc" in rows
    assert f"file 644 1 {prefix}/__clobbers__/beta/lib/y" in rows
    assert not any(f" {prefix}/lib/" in row for row in rows)
    assert f"lib/y: taken from {first.name}, not from {second.name}" in ran.document["warnings"]


def listed(tiny: Tiny, ran: Ran) -> list[str]:
    keys = [layer["key"] for layer in ran.image["layers"]]
    return [
        line for key in keys for line in (tiny.cache / f"layers/{key}.tree").read_text().split("\n")
    ]


# Metadata


def jsons(path: str, path_type: str = "hardlink") -> bytes:
    return json.dumps({"paths": [{"_path": path, "path_type": path_type}]}).encode()


METADATA = {
    "paths absolute": (info_of(paths=jsons("/etc/x")), "absolute path '/etc/x'"),
    "paths climb": (info_of(paths=jsons("a/../../x")), "path 'a/../../x' climbs out with '..'"),
    "paths nul": (info_of(paths=jsons("a\0b")), "path 'a\\x00b' holds a NUL byte"),
    "paths empty": (info_of(paths=jsons("")), "empty path ''"),
    "paths type": (info_of(paths=jsons("x", "socket")), "info/paths.json: path type 'socket'"),
    "paths not json": (
        info_of(paths=b"{"),
        "info/paths.json is not JSON (Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1))",
    ),
    "paths is a list": (info_of(paths=b"[]"), "info/paths.json is not a JSON object"),
    "paths holds no list": (
        info_of(paths=b'{"paths": {}}'),
        "info/paths.json: 'paths' is not a list",
    ),
    "paths without a path": (
        info_of(paths=b'{"paths": [{"path_type": "hardlink"}]}'),
        "no '_path'",
    ),
    "index not json": (
        {"index.json": b"nope", "paths.json": paths_json()},
        "info/index.json is not JSON (Expecting value: line 1 column 1 (char 0))",
    ),
    "no index": ({"paths.json": paths_json()}, "there is no info/index.json"),
    "index without a name": ({"index.json": b"{}", "paths.json": paths_json()}, "no 'name'"),
    "file mode": (
        info_of(
            paths=json.dumps(
                {
                    "paths": [
                        {
                            "_path": "x",
                            "path_type": "hardlink",
                            "prefix_placeholder": "/p",
                            "file_mode": "odd",
                        }
                    ]
                }
            ).encode()
        ),
        "'odd' is not a valid FileMode",
    ),
}


@pytest.mark.parametrize("kind", METADATA)
def test_metadata(tiny: Tiny, kind: str) -> None:
    info, problem = METADATA[kind]
    tiny.lock(raw_conda(tiny.channel, info, tar_of([])))
    tiny.refused(broken_metadata(problem))
    tiny.works(tiny.good())


def test_file_that_only_paths_json_knows(tiny: Tiny) -> None:
    tiny.lock(raw_conda(tiny.channel, info_of(paths=paths_json("x")), tar_of([])))
    tiny.refused(f"error: reading {CONDA}: info/paths.json lists 'x', which is not in the archive")


@pytest.mark.parametrize(
    "line",
    ["../../x = a:b", "/x = a:b", "x = a;import os:b", "x = a:b\nimport os", "x", ".. = a:b"],
)
def test_entry_point(tiny: Tiny, line: str) -> None:
    link = json.dumps({"noarch": {"type": "python", "entry_points": [line]}}).encode()
    info = info_of(paths=paths_json(), noarch="python", link=link)
    tiny.lock(tiny.python(), raw_conda(tiny.channel, info, tar_of([]), "thing-1.0-py_0.conda"))
    names_function = line.startswith("x = a")
    problem = "does not name a function" if names_function else "is not 'command = module:function'"
    tiny.refused(
        "error: reading thing-1.0-py_0.conda: its metadata cannot be used: "
        f"entry point {line!r} {problem}"
    )


def test_placeholder_longer_than_its_slot(tiny: Tiny) -> None:
    placeholder = "/opt/" + "p" * 40
    row = {"prefix_placeholder": placeholder, "file_mode": "binary"}
    payload = tar_of([member("lib/x.so", b"\0" + placeholder.encode() + b"/lib\0")])
    bad = raw_conda(tiny.channel, info_of(paths=paths_json("lib/x.so", **row)), payload)
    name = "e" * 60
    tiny.lock(bad, environment=name)
    tiny.refused(
        f"error: reading {CONDA}: 'lib/x.so' leaves 45 bytes for the prefix, "
        "the prefix in the image has 76",
        "  hint: choose an environment with a shorter name",
        more=["-e", name],
    )
    tiny.works(bad)


# Wheels


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("../../../x.py", "path '../../../x.py' climbs out with '..'"),
        ("/etc/x.py", "Can't mix absolute and relative paths"),
        ("thing-1.0.data/scripts/../../x", "path '../../x' climbs out with '..'"),
        ("thing-1.0.data/data/a/../../x", "path 'a/../../x' climbs out with '..'"),
        ("thing-1.0.data/headers/../x", "path '../x' climbs out with '..'"),
    ],
)
def test_path_in_a_wheel(tiny: Tiny, path: str, problem: str) -> None:
    tiny.lock(tiny.python(), raw_wheel(tiny.channel, {path: b"1\n"}))
    tiny.refused(f"error: reading {WHEEL}: it is not a valid wheel: {problem}")
    tiny.works(tiny.python(), raw_wheel(tiny.channel, {"x.py": b"1\n"}))


def test_entry_point_in_a_wheel(tiny: Tiny) -> None:
    points = b"[console_scripts]\n../../x = a:b\n"
    tiny.lock(
        tiny.python(), raw_wheel(tiny.channel, {"thing-1.0.dist-info/entry_points.txt": points})
    )
    problem = "path '../../x' climbs out with '..'"
    tiny.refused(f"error: reading {WHEEL}: it is not a valid wheel: {problem}")


def test_two_members_for_one_place_in_a_wheel(tiny: Tiny) -> None:
    files = {"x.py": b"1\n", "thing-1.0.data/purelib/x.py": b"2\n"}
    tiny.lock(tiny.python(), raw_wheel(tiny.channel, files))
    target = "lib/python3.11/site-packages/x.py"
    tiny.refused(f"error: reading {WHEEL}: it writes {target!r} twice")


def test_file_and_directory_of_one_name_in_a_wheel(tiny: Tiny) -> None:
    tiny.lock(tiny.python(), raw_wheel(tiny.channel, {"x": b"1\n", "x/y.py": b"2\n"}))
    ran = tiny.build()
    assert "'lib/python3.11/site-packages/x' is a file" in ran.err
    tiny.failed_cleanly(ran, *ran.err.rstrip("\n").split("\n"))


def test_wheel_without_python(tiny: Tiny) -> None:
    wheel = raw_wheel(tiny.channel, {"x.py": b"1\n"})
    tiny.lock(wheel)
    tiny.refused(
        "error: environment 'default' holds 1 package that cannot be laid out:",
        f"  thing (PyPI package without a locked python): {wheel}",
        "  hint: add python to the environment's conda dependencies",
    )
    tiny.works(tiny.python(), wheel)


def test_noarch_python_without_python(tiny: Tiny) -> None:
    info = info_of(paths=paths_json(), noarch="python")
    bad: Path = raw_conda(tiny.channel, info, tar_of([]), "thing-1.0-py_0.conda")
    tiny.lock(bad)
    tiny.refused(
        f"error: reading {bad.name}: it is a noarch python package, "
        "and the environment has no python",
        "  hint: add python to the environment and run 'pixi lock'",
    )
