"""``podman run``."""

from __future__ import annotations

from pixi_ship.runtime.engine import own_ids, run_words
from pixi_ship.runtime.image import RunnableImage
from pixi_ship.runtime.invocation import Invocation
from pixi_ship.runtime.spec import ALL, RunSpec

_CDI = "nvidia.com/gpu="  # the Container Device Interface's name for NVIDIA's devices


def command_line(program: str, image: RunnableImage, spec: RunSpec) -> Invocation:
    """The words that start a job. Raises UsageError for a path that cannot be bound."""
    # A directory of the user's is not to be relabelled, and without a label SELinux hides it.
    own = ["--security-opt", "label=disable"]
    if spec.like:
        # Without root, ids in the container are others outside, unless podman keeps them.
        own += [*(["--userns", "keep-id"] if spec.caller.uid else []), *own_ids(spec)]
    if image.plain_http:
        own.append("--tls-verify=false")
    if image.authfile:
        own += ["--authfile", image.authfile]
    return run_words(program, image, spec, own, _gpus(spec.gpus))


def _gpus(wanted: str | None) -> list[str]:
    names = range(int(wanted)) if wanted and wanted != ALL else [ALL]
    return [word for name in names for word in ("--device", f"{_CDI}{name}")]
