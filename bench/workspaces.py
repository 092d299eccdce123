"""The workspaces and the base that everything is measured on; made when they are missing."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / ".test-data"
BASE_LAYOUT = DATA / "base"
BASE_TAG = "bookworm"
BASE = f"oci:{BASE_LAYOUT}:{BASE_TAG}"
MEASURED = DATA / "channel-large/workspaces"
LARGE = MEASURED / "large"
SMALL = DATA / "channel/workspaces"


def ensure_data(*, large: bool) -> None:
    """Make the channel, with its large packages or without, and the base image."""
    words = ["--large"] if large else []
    channel = [sys.executable, "-m", "tests.channel", str(DATA / "channel"), *words]
    for command in (channel, [sys.executable, "setup/base_image.py", str(DATA)]):
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def with_changed_package(workspace: Path, into: Path) -> Path | None:
    """A copy of a workspace whose lock has another version of `greet`; None without it."""
    lock = (workspace / "pixi.lock").read_text()
    found = re.search(r"^- conda: (\S+/greet-)1\.1(\S+)\n(?:  .*\n)+", lock, re.MULTILINE)
    if found is None:
        return None
    old = found.group(0)
    path = Path(f"{found.group(1)}1.0{found.group(2)}")
    archive = path.read_bytes()
    new = re.sub(r"sha256: \w+", f"sha256: {hashlib.sha256(archive).hexdigest()}", old)
    md5 = hashlib.md5(archive, usedforsecurity=False).hexdigest()
    new = re.sub(r"md5: \w+", f"md5: {md5}", new)
    new = re.sub(r"size: \d+", f"size: {len(archive)}", new)
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(workspace, into)
    text = lock.replace(old, new).replace(f"{found.group(1)}1.1", f"{found.group(1)}1.0")
    (into / "pixi.lock").write_text(text)
    return into
