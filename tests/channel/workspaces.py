"""Locked workspaces over the test channel: a manifest, a lock, and a little project source.

Conda packages are locked by `file://` address, wheels by a path relative to the workspace, which
is what Pixi writes for either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rattler import LockFile, Subdir
from rattler.lock import LockChannel, LockPlatform

from . import crowd, large
from .records import ChannelRecords
from .wheels import Wheel

BASE_VIRTUAL = ["__unix=0=0", "__linux=4.18", "__glibc=2.28", "__archspec=0=x86_64"]
CUDA_VIRTUAL = ["__cuda=12", *BASE_VIRTUAL]


@dataclass(frozen=True)
class Selection:
    """What one environment has on one platform."""

    conda: Sequence[str]
    wheels: Sequence[str] = ()
    environment: str = "default"
    platform: str = "linux-64"


@dataclass(frozen=True)
class Workspace:
    """A manifest (after its channels) and what its lock holds."""

    name: str
    manifest: str
    selections: Sequence[Selection]
    platforms: str = '["linux-64"]'
    lock_platforms: Sequence[tuple[str, list[str]]] = (("linux-64", BASE_VIRTUAL),)
    pyproject: bool = False
    sources: dict[str, str] = field(default_factory=dict)


TRAIN = 'import sys\n\nprint("training in", sys.prefix)\n'

NUMPY_MANIFEST = """\
[dependencies]
python = "*"
greet = "{greet}"
native = "*"
activ = "*"

[pypi-dependencies]
numpy = "*"
click = "*"
trinket = {{ path = "../../wheelhouse/trinket-1.0-py3-none-any.whl" }}

[activation.env]
DEMO_MODE = "batch"

[tasks]
train = "python train.py"

[feature.minimal.dependencies]
python = "*"

[environments]
minimal = {{ features = ["minimal"], no-default-feature = true }}
"""


def _numpy(name: str, greet: str) -> Workspace:
    conda = ("python", f"greet {greet}.*", "native", "activ")
    return Workspace(
        name,
        NUMPY_MANIFEST.format(greet=f"{greet}.*"),
        [
            Selection(conda, ("numpy", "click", "trinket")),
            Selection(("python",), environment="minimal"),
        ],
        sources={"train.py": TRAIN, ".gitignore": ".pixi\n"},
    )


def _dependencies(*names: str) -> str:
    return "[dependencies]\n" + "".join(f'{name} = "*"\n' for name in names)


SMALL = (
    _numpy("numpy", "1.0"),
    _numpy("numpy-updated", "1.1"),
    Workspace(
        "clobber",
        _dependencies("clobber-a", "clobber-b", "clobber-c"),
        [Selection(("clobber-a", "clobber-b", "clobber-c"))],
    ),
    Workspace(
        "clobber-folder",
        _dependencies("clobber-file", "clobber-folder"),
        [Selection(("clobber-file", "clobber-folder"))],
    ),
    Workspace(
        "edge",
        _dependencies("edge", "edge-bz2", "postlink", "python"),
        [Selection(("edge", "edge-bz2", "postlink", "python"))],
    ),
    Workspace(
        "gpu",
        _dependencies("gpu-thing") + '\n[system-requirements]\ncuda = "12"\n',
        [Selection(("gpu-thing",))],
        lock_platforms=(("linux-64", CUDA_VIRTUAL),),
    ),
    Workspace("many", _dependencies("python", "many-files"), [Selection(("python", "many-files"))]),
    Workspace(
        "rich-platforms",
        _dependencies("python", "greet")
        + '\n[target.cuda-linux-64.dependencies]\ngpu-thing = "*"\n',
        [
            Selection(("python", "greet")),
            Selection(("python", "greet", "gpu-thing"), platform="p1"),
        ],
        platforms='[{ name = "cuda-linux-64", platform = "linux-64", cuda = "12" }, "linux-64"]',
        lock_platforms=(("linux-64", BASE_VIRTUAL), ("p1", CUDA_VIRTUAL)),
    ),
    Workspace(
        "pyproject",
        _dependencies("python", "greet"),
        [Selection(("python", "greet"), ("idna", "markupsafe"))],
        pyproject=True,
        sources={"src/pyproject_demo/__init__.py": "", "train.py": TRAIN},
    ),
)


def _measured(name: str, packages: Iterable[str]) -> Workspace:
    names = ("python", "greet", "native", "activ", *packages)
    return Workspace(name, _dependencies(*names), [Selection(names)])


LARGE = (
    _measured("few", large.FEW),
    _measured("arrays", (large.RUNTIME, *large.ARRAYS)),
    _measured("large", (large.RUNTIME, *large.LEARNING)),
    _measured("crowd", crowd.NAMES),
)


def write_workspaces(
    workspaces: Sequence[Workspace],
    folder: Path,
    channel_url: str,
    records: ChannelRecords,
    wheels: dict[str, Wheel],
) -> None:
    for workspace in workspaces:
        home = folder / workspace.name
        home.mkdir(parents=True)
        name = "pyproject.toml" if workspace.pyproject else "pixi.toml"
        (home / name).write_text(_manifest(workspace, channel_url))
        for path, text in workspace.sources.items():
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_text(text)
        _write_lock(workspace, home / "pixi.lock", channel_url, records, wheels)


def _manifest(workspace: Workspace, channel_url: str) -> str:
    head = (
        f'[workspace]\nname = "{workspace.name}"\nchannels = ["{channel_url}"]\n'
        f"platforms = {workspace.platforms}\n\n"
    )
    if not workspace.pyproject:
        return head + workspace.manifest
    project = '[project]\nname = "pyproject-demo"\nversion = "0.1.0"\n'
    project += 'dependencies = ["idna", "markupsafe"]\n\n'
    tables = (head + workspace.manifest).replace("\n[", "\n[tool.pixi.")
    return project + "[tool.pixi." + tables.removeprefix("[")


def _write_lock(
    workspace: Workspace,
    path: Path,
    channel_url: str,
    records: ChannelRecords,
    wheels: dict[str, Wheel],
) -> None:
    linux = Subdir("linux-64")
    platforms = {
        name: LockPlatform(name, linux, virtual) for name, virtual in workspace.lock_platforms
    }
    lock = LockFile(list(platforms.values()))
    for environment in {selection.environment for selection in workspace.selections}:
        lock.set_channels(environment, [LockChannel(channel_url)])
    locked: dict[str, Wheel] = {}
    for selection in workspace.selections:
        where = selection.environment, platforms[selection.platform]
        for record in records.choose(*selection.conda):
            lock.add_conda_package(*where, record)
        for wheel in (wheels[name] for name in selection.wheels):
            location = f"../../wheelhouse/{wheel.path.name}"
            lock.add_pypi_package(*where, wheel.name, wheel.version, location)
            locked[location] = wheel
    lock.to_path(path)
    path.write_text("\n".join(_finished(path.read_text(), locked)) + "\n")


def _finished(lock: str, wheels: dict[str, Wheel]) -> Iterator[str]:
    """Add what py-rattler's API cannot record of wheels; drop the moment of indexing."""
    wheel: Wheel | None = None
    for line in lock.splitlines():
        if line.startswith("- "):
            wheel = wheels.get(line.removeprefix("- pypi: "))
        if not line.startswith("  indexed_timestamp:"):
            yield line
        if wheel and line.startswith("  version:"):
            yield f"  sha256: {wheel.sha256}"
            if wheel.requires_dist:
                yield "  requires_dist:"
                yield from (f"  - {_quoted(need)}" for need in wheel.requires_dist)
            if wheel.requires_python:
                yield f"  requires_python: {_quoted(wheel.requires_python)}"


def _quoted(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"
