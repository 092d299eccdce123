"""Install a locked environment with rattler, Pixi's own engine: what a job without an image does.

`python install.py LOCK PREFIX`; runs on a node of the lab.
"""

import asyncio
import sys
from pathlib import Path

import rattler


async def main(lock: Path, prefix: Path) -> None:
    """Fetch and link the default environment; the package cache lies beside the prefix."""
    environment = dict(rattler.LockFile.from_path(lock).environments())["default"]
    platform = next(each for each in environment.platforms() if each.name == "linux-64")
    records = environment.conda_repodata_records_for_platform(platform)
    cache = prefix.with_name("cache")
    cache.mkdir()
    await rattler.install(
        records or [],
        prefix,
        cache_dir=cache,
        platform=rattler.Subdir("linux-64"),
        show_progress=False,
    )


asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
