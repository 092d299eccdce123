"""What a job on this machine needs besides what every job does: an image and a runtime here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixi_ship.cli.display import progress
from pixi_ship.cli.image_options import ImageOptions, opened_registries
from pixi_ship.cli.options import cache_directory, cores, platform_here
from pixi_ship.oci.reference import parse_reference
from pixi_ship.platform import platform_of
from pixi_ship.run import Workbench, is_sif, open_image
from pixi_ship.run.process import succeeds
from pixi_ship.run.task import TaskStart
from pixi_ship.runtime.find import find_runtime
from pixi_ship.runtime.spec import Caller, runtime_options


@contextmanager
def start_here(
    text: str, runtime: str | None, given: ImageOptions, *, gpus: bool, dry_run: bool
) -> Iterator[TaskStart]:
    """What starts jobs in an image, wherever ``run`` takes it from; raises PixiShipError."""
    environment = dict(os.environ)
    reference = parse_reference(text).anchored(Path.cwd())
    found = find_runtime(shutil.which, name=runtime, sif=is_sif(reference), gpus=gpus)
    options = runtime_options(found.runtime.name, environment)
    authfile = given["authfile"]
    # The script starts in another directory than this one.
    cache = cache_directory(given["cache_dir"]).absolute()
    settled: ImageOptions = {**given, "cache_dir": cache}
    with opened_registries(settled) as registries, progress(quiet=False) as watcher:
        at = Workbench(
            cache=registries.cache,
            registries=registries,
            platform=platform_of(platform_here()),
            workers=cores(),
            succeeds=lambda question: not dry_run and succeeds(question, environment),
            authfile=str(authfile.absolute()) if authfile else None,
            progress=watcher,
        )
        caller = Caller(str(Path.cwd()), str(Path.home()), os.getuid(), os.getgid(), environment)
        yield TaskStart(open_image(reference, at), found, at, caller, options, not dry_run)
