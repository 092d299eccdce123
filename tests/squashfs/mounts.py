"""The other readers of squashfs: unsquashfs, the kernel, and squashfuse."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from ..contract.tools import need, output

_PATIENCE = 60  # seconds until a mount is there


@contextmanager
def unpacked(image: Path, work: Path) -> Iterator[Path]:
    """What unsquashfs unpacks."""
    need("unsquashfs", root=True)
    target = work / "unpacked"
    output("unsquashfs", "-quiet", "-no-progress", "-strict-errors", "-d", target, image)
    yield target
    # Not by pytest: a directory may be closed to its owner.
    shutil.rmtree(target)


@contextmanager
def mounted(image: Path, work: Path) -> Iterator[Path]:
    """What the kernel shows; a machine where that may not be mounts nothing and skips."""
    need("mount", "umount", root=True)
    target = work / "mounted"
    target.mkdir()
    done = subprocess.run(
        ["mount", "-t", "squashfs", "-o", "loop,ro", image, target], capture_output=True, text=True
    )
    if done.returncode:
        if can_mount(work):
            raise AssertionError(f"the kernel does not mount it: {done.stderr}")
        pytest.skip("not on this machine: mount -t squashfs -o loop")
    try:
        yield target
    finally:
        subprocess.run(["umount", target], check=True)
        target.rmdir()


def can_mount(work: Path) -> bool:
    """Whether this machine mounts what mksquashfs made."""
    need("mksquashfs")
    source, image, target = work / "probe", work / "probe.squashfs", work / "probe-mounted"
    source.mkdir()
    target.mkdir()
    output("mksquashfs", source, image, "-quiet", "-no-progress")
    words = ["mount", "-t", "squashfs", "-o", "loop,ro", str(image), str(target)]
    if subprocess.run(words, capture_output=True).returncode:
        return False
    subprocess.run(["umount", target], check=True)
    return True


@contextmanager
def fused(image: Path, work: Path) -> Iterator[Path]:
    """What squashfuse shows, where it is installed: the one of two that knows hard links."""
    program = shutil.which("squashfuse_ll")
    if program is None or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("not on this machine: squashfuse_ll with /dev/fuse")
    target = work / "fused"
    target.mkdir()
    running = subprocess.Popen([program, "-f", image, target])
    try:
        for _ in range(_PATIENCE * 20):
            if os.path.ismount(target) or running.poll() is not None:
                break
            time.sleep(0.05)
        assert running.poll() is None, f"{program} ended"
        yield target
    finally:
        running.terminate()
        running.wait()
        target.rmdir()


Opened = Callable[[Path, Path], AbstractContextManager[Path]]
OTHERS: dict[str, Opened] = {"unsquashfs": unpacked, "kernel": mounted, "squashfuse_ll": fused}
