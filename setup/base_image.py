#!/usr/bin/env python3
"""Build the small Debian base image that the demo and the tests put environments on.

    python setup/base_image.py .test-data

writes, inside the given directory,

    base/                  an OCI layout; use it as  oci:.test-data/base:bookworm
    base.oci.tar           the same as an OCI archive
    base.docker.tar        the same as a docker archive
    base.stamp             what they were built from; while it matches, nothing is done

The root filesystem holds Debian's essential packages (sh, bash, glibc, ldconfig, sed, coreutils)
without documentation. Packages come from the Debian mirror that this machine's own apt
configuration names. Needs mmdebstrap and skopeo, and of Python only the standard library.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

SUITE = "bookworm"
EPOCH = 1_700_000_000
"""Every file's time, so that two builds from the same mirror are the same bytes."""

CREATED = "2023-11-14T22:13:20Z"
LEAVE_OUT = ("doc", "man", "info", "locale", "lintian", "bash-completion")
APT_LISTS = Path("/etc/apt")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MARKER = "base.stamp"


class BaseImageError(Exception):
    """The base image cannot be made; the message says why and what to do."""


def debian_sources(apt: Path = APT_LISTS) -> str:
    """The lines and stanzas of this machine's apt configuration that offer the suite itself."""
    found: list[str] = []
    lists = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    for path in lists:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".list":
            found += [one for line in text.splitlines() if (one := _from_line(line))]
        elif path.suffix == ".sources":
            found += [one for stanza in re.split(r"\n\s*\n", text) if (one := _from_stanza(stanza))]
    if not found:
        raise BaseImageError(
            f"{apt}: no package source for the Debian suite {SUITE} (component main)\n"
            f"  next: run this on Debian {SUITE}, or copy a base image to the output directory"
        )
    return found[0] + "\n"


def _from_line(line: str) -> str | None:
    """One `deb [options] URI suite component...` line, if it offers the suite."""
    match = re.match(r"deb\s+(\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)", line.strip())
    if not match or match[3] != SUITE or "main" not in match[4].split():
        return None
    return f"deb {match[1] or ''}{match[2]} {SUITE} main"


def _from_stanza(stanza: str) -> str | None:
    """One deb822 stanza as a `deb` line, if it offers the suite."""
    lines = [line for line in stanza.splitlines() if line.strip() and not line.startswith("#")]
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and not line[0].isspace():
            fields[name.strip().lower()] = value.strip()
    offered = (
        fields.get("enabled", "yes").lower() not in ("no", "false")
        and "deb" in fields.get("types", "").split()
        and SUITE in fields.get("suites", "").split()
        and "main" in fields.get("components", "").split()
    )
    if not offered or not fields.get("uris"):
        return None
    key = fields.get("signed-by", "")
    options = f"[signed-by={key}] " if key.startswith("/") else ""
    return f"deb {options}{fields['uris'].split()[0]} {SUITE} main"


def apt_options() -> list[str]:
    """How this machine reaches its mirror: proxy, certificates, clock checks."""
    dump = subprocess.run(
        ["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=False
    )
    wanted = re.compile(r'Acquire::(https?::[\w:.-]+|Check-[\w-]+|Retries) "[^"]+";', re.IGNORECASE)
    return [
        f"--aptopt={line.rstrip(';')}"
        for line in dump.stdout.splitlines()
        if wanted.fullmatch(line)
    ]


def root_filesystem(out: Path) -> None:
    """Write the root filesystem as a tar file."""
    # No index, mirror name or log stays inside: the image tells nothing about this machine.
    tidy = (
        'set -e; cd "$1"; rm -rf etc/apt/sources.list* etc/apt/apt.conf.d/99mmdebstrap '
        "etc/resolv.conf etc/hostname var/cache/debconf/*-old var/lib/dpkg/*-old var/log/*; "
        "echo localhost > etc/hostname; chmod 644 etc/hostname"
    )
    command = [
        "mmdebstrap",
        "--variant=essential",
        "--format=tar",
        "--skip=output/dev",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEAVE_OUT),
        *apt_options(),
        f"--customize-hook={tidy}",
        SUITE,
        str(out),
        "-",
    ]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), "LC_ALL": "C"}
    result = subprocess.run(
        command,
        input=debian_sources(),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if result.returncode:
        raise BaseImageError(
            f"mmdebstrap failed with status {result.returncode}:\n{result.stderr[-4000:]}"
        )
    # Device nodes are the runtime's business, but it wants the directory they go to.
    dev = tarfile.TarInfo("./dev")
    dev.type, dev.mode, dev.mtime = tarfile.DIRTYPE, 0o755, EPOCH
    with tarfile.open(out, "a") as tar:
        tar.addfile(dev)


def write_layout(tar: Path, layout: Path) -> None:
    """Put one root filesystem into a new OCI layout of one image with one gzip layer."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    diff_id = hashlib.sha256()
    packed = layout / "layer"
    with (
        tar.open("rb") as source,
        packed.open("wb") as raw,
        # An empty name and no time: the gzip header must not differ between builds.
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as sink,
    ):
        while block := source.read(1 << 20):
            diff_id.update(block)
            sink.write(block)
    with packed.open("rb") as stream:
        layer = hashlib.file_digest(stream, "sha256").hexdigest()
    size = packed.stat().st_size
    packed.rename(blobs / layer)

    def blob(document: object) -> dict[str, object]:
        data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    architecture = ARCHITECTURES.get(platform.machine(), platform.machine())
    config = blob(
        {
            "architecture": architecture,
            "config": {"Cmd": ["bash"], "Env": [f"PATH={PATH}"]},
            "created": CREATED,
            "history": [{"created": CREATED, "created_by": f"mmdebstrap {SUITE}"}],
            "os": "linux",
            "rootfs": {"diff_ids": [f"sha256:{diff_id.hexdigest()}"], "type": "layers"},
        }
    )
    media = "application/vnd.oci.image"
    manifest = blob(
        {
            "schemaVersion": 2,
            "mediaType": f"{media}.manifest.v1+json",
            "config": {"mediaType": f"{media}.config.v1+json", **config},
            "layers": [
                {
                    "mediaType": f"{media}.layer.v1.tar+gzip",
                    "digest": f"sha256:{layer}",
                    "size": size,
                }
            ],
        }
    )
    entry = {
        "mediaType": f"{media}.manifest.v1+json",
        **manifest,
        "annotations": {"org.opencontainers.image.ref.name": SUITE},
        "platform": {"architecture": architecture, "os": "linux"},
    }
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def write_archive(layout: Path, archive: Path) -> None:
    """Put an OCI layout into a tar file, which is all that an OCI archive is."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = EPOCH
        member.mode = 0o755 if member.isdir() else 0o644
        return member

    with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(layout.rglob("*")):
            tar.add(path, arcname=str(path.relative_to(layout)), recursive=False, filter=plain)


def copy(source: str, target: str) -> None:
    result = subprocess.run(
        ["skopeo", "--insecure-policy", "copy", "--quiet", source, target],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise BaseImageError(f"skopeo copy {source} {target} failed:\n{result.stderr.strip()}")


def build(out: Path) -> bool:
    """Make everything in `out`; answer whether there was anything to do."""
    stamp = hashlib.sha256(Path(__file__).read_bytes()).hexdigest() + "\n"
    outputs = [out / "base" / "index.json", out / "base.oci.tar", out / "base.docker.tar"]
    marker = out / MARKER
    if marker.is_file() and marker.read_text() == stamp and all(path.exists() for path in outputs):
        return False
    for tool in ("mmdebstrap", "skopeo"):
        if shutil.which(tool) is None:
            raise BaseImageError(f"{tool}: not installed\n  next: apt-get install {tool}")
    out.mkdir(parents=True, exist_ok=True)
    marker.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix="base-build-") as name:
        work = Path(name)
        # A mirror may hiccup once; a second failure is an answer.
        try:
            root_filesystem(work / "root.tar")
        except BaseImageError as problem:
            print(f"base image: trying once more after: {problem}", file=sys.stderr)
            (work / "root.tar").unlink(missing_ok=True)
            root_filesystem(work / "root.tar")
        write_layout(work / "root.tar", work / "base")
        layout = f"oci:{work / 'base'}:{SUITE}"
        write_archive(work / "base", work / "base.oci.tar")
        copy(layout, f"docker-archive:{work / 'base.docker.tar'}:base:{SUITE}")
        for item in ("base", "base.oci.tar", "base.docker.tar"):
            target = out / item
            if target.is_dir():
                shutil.rmtree(target)
            (work / item).rename(target)
    marker.write_text(stamp)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="directory to write into")
    out: Path = parser.parse_args().out
    try:
        built = build(out)
    except BaseImageError as problem:
        print(f"base image: {problem}", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in (out / "base").rglob("*") if path.is_file())
    state = "built" if built else "up to date"
    print(f"base image: {state}: oci:{out / 'base'}:{SUITE} ({size / 1e6:.0f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
