"""`plan` on every environment and Linux platform of real workspaces."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pixi_ship.cache import Cache
from pixi_ship.errors import PixiShipError
from pixi_ship.lock.parse import LockFile
from pixi_ship.machine import Machine
from pixi_ship.oci.reference import parse_reference
from pixi_ship.registry.registries import without_login
from pixi_ship.selection import Options
from pixi_ship.ship import PlannedImage, plan
from pixi_ship.workspace import find_workspace

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
BASE = parse_reference("docker://ghcr.io/prefix-dev/pixi:noble")
RELOCK = "pixi-ship reads lock versions 1 to 7; run 'pixi lock' to write the lock anew"
NOT_LINUX = "locked Linux platforms: none; add the platform to the manifest and run 'pixi lock'"

# Workspace → what is wrong with it: the message, {0} for its directory, and the hint.
BROKEN: dict[str, tuple[str, str | None]] = {
    "Deltares__imod-python__root-at-6fca52ed": (
        "reading {0}/pixi.lock: the file is empty",
        "run 'pixi lock'",
    ),
    "ami-iit__jaxsim__root": (
        "reading {0}/pixi.lock: this is a Git LFS pointer, not the lock itself",
        "run 'git lfs pull'",
    ),
    "ascii-supply-networks__dagster-slurm__root-at-569eed2c": (
        "reading {0}/pixi.lock: it holds merge conflict markers ('<<<<<<<')",
        "resolve the conflict, or take one side and run 'pixi lock'",
    ),
    "prefix-dev__pixi__root-at-2b47aeb6": (
        "reading {0}/pixi.lock: it holds merge conflict markers ('<<<<<<<')",
        "resolve the conflict, or take one side and run 'pixi lock'",
    ),
    "con__STAMPED-dl_morphometrics_biases__root": (
        "reading {0}/pixi.toml: it is not TOML: Expected '=' after a key in a key/value pair "
        "(at line 1, column 5)",
        None,
    ),
    "fermi-lat__fermibottle-local-env__environments": (
        "reading {0}/pixi.toml: it is not TOML: Expected '=' after a key in a key/value pair "
        "(at line 60, column 8)",
        None,
    ),
    # A template: its placeholder for a channel leaves a source package without its fields.
    "Quantco__pixi-pack__examples-local-channel-template": (
        "reading {0}/pixi.lock: missing field/fields 'name'",
        RELOCK,
    ),
    # The wheel that the lock names lies beside the workspace, which alone was copied here.
    "Quantco__pixi-pack__examples-pypi-wheel-packages": (
        "reading my_webserver-0.1.0-py3-none-any.whl at "
        "{0}/../webserver/my_webserver-0.1.0-py3-none-any.whl: No such file or directory",
        "the lock names this file: put it there, or run 'pixi lock' where it moved",
    ),
    "prefix-dev__pixi__examples-docker-build-at-43355a0f": (
        "environment 'default' is not locked for platform 'linux-64'",
        NOT_LINUX,
    ),
}
# Locks that pixi's and rattler's own tests want refused.
BROKEN_LOCKS = {
    "conda__rattler__test-data-lock_parse_fails-v7-duplicate_platform": (
        'environments.default.packages: duplicate entry with key "DUPLICATE" at line 12 column 7'
    ),
    "conda__rattler__test-data-lock_parse_fails-v7-duplicate_platform_use": (
        'environments.default.packages: duplicate entry with key "DUPLICATE" at line 12 column 7'
    ),
    "conda__rattler__test-data-lock_parse_fails-v7-invalid_platform_subdir": (
        "failed to parse ''linux-XX' is not a valid subdir name;"
    ),
    "conda__rattler__test-data-lock_parse_fails-v7-missing_platform": (
        "Environment `default` is using an unknown platform `UNKNOWN`"
    ),
    "conda__rattler__test-data-conda-lock-forward-compatible-lock": (
        "found newer lockfile format version 1000, but only up to including version 7 is supported"
    ),
}


@cache
def index() -> list[dict[str, Any]]:
    path = CORPUS / "index.json"
    rows: list[dict[str, Any]] = json.loads(path.read_bytes()) if path.is_file() else []
    return rows


# What environments hold besides archives → how many there are. All but the last row can be
# built: of those that hold sources, what compiles needs a machine of the target's kind.
TABLE = {
    "archives alone": 201,
    "path dependency": 21,
    "source distribution": 11,
    "git dependency + source distribution": 10,
    "git dependency": 3,
    "git dependency + path dependency": 2,
    "path dependency + source distribution": 1,
    "conda source package": 50,
}


def workspaces(*, with_linux: bool) -> list[str]:
    return [
        row["dir"]
        for row in index()
        if row["group"] in ("workspace", "test-data")
        and row["dir"] not in BROKEN
        and bool(row["linux_envs"]) == with_linux
    ]


def row_of(directory: str) -> dict[str, Any]:
    return next(row for row in index() if row["dir"] == directory)


def planned(directory: str, environment: str, platform: str, root: Path) -> PlannedImage:
    workspace = find_workspace(CORPUS / directory, search_upward=False)
    options = Options(environment=environment, platforms=(platform,), base=BASE)
    cache = Cache(root / "cache")
    (image,) = plan(workspace, options, cache, Machine(), without_login(cache, offline=True)).images
    return image


@pytest.fixture(autouse=True)
def here() -> None:
    if not index():
        pytest.skip("../shared is not here: no corpus to test with")


needs_corpus = pytest.mark.skipif(not index(), reason="../shared is not here: no corpus")


@needs_corpus
@pytest.mark.parametrize("directory", workspaces(with_linux=True))
def test_every_environment(directory: str, tmp_path: Path) -> None:
    for want in row_of(directory)["linux_envs"]:
        found = planned(directory, want["env"], want["platform"], tmp_path)
        environment = found.selection.environment
        where = f"{want['env']} on {want['platform']}"
        assert environment.platform.subdir == want["subdir"], where
        others = len(environment.unbuildable) + len(environment.sources)
        assert bool(others) == bool(want["not_plain"]), where
        plain = len(environment.conda) + len(environment.pypi)
        if not others:
            assert plain == want["packages"], where
        members = [index for recipe, _ in found.layers for index in recipe.members]
        assert sorted(members) == list(range(plain)), where
        assert len(found.layers) < 64, where
        assert len({recipe.key for recipe, _ in found.layers}) == len(found.layers), where
        assert not (tmp_path / "cache").exists(), "plan writes nothing without a base to read"


@needs_corpus
def test_table_of_environments() -> None:
    """What the environments of real workspaces hold; the documentation quotes these figures."""
    table: Counter[str] = Counter()
    for directory in workspaces(with_linux=True):
        lock = LockFile(CORPUS / directory / "pixi.lock")
        for row in row_of(directory)["linux_envs"]:
            platform = next(
                each for each in lock.platforms(row["env"]) if each.name == row["platform"]
            )
            environment = lock.environment(row["env"], platform)
            found = {each.kind.value for each in environment.sources}
            found |= {each.obstacle.value for each in environment.unbuildable}
            assert bool(found) == bool(row["not_plain"])
            table[" + ".join(sorted(found)) or "archives alone"] += 1
    assert table == TABLE


@needs_corpus
@pytest.mark.parametrize("directory", workspaces(with_linux=False))
def test_workspace_without_linux(directory: str, tmp_path: Path) -> None:
    with pytest.raises(PixiShipError) as caught:
        planned(directory, "default", "linux-64", tmp_path)
    assert str(caught.value) == "environment 'default' is not locked for platform 'linux-64'"
    assert caught.value.hint == NOT_LINUX


@needs_corpus
@pytest.mark.parametrize("directory", sorted(BROKEN))
def test_broken_workspace(directory: str, tmp_path: Path) -> None:
    message, hint = BROKEN[directory]
    with pytest.raises(PixiShipError) as caught:
        planned(directory, "default", "linux-64", tmp_path)
    assert str(caught.value) == message.format(CORPUS / directory)
    assert caught.value.hint == hint


@needs_corpus
@pytest.mark.parametrize("directory", sorted(BROKEN_LOCKS))
def test_broken_lock(directory: str) -> None:
    path = CORPUS / directory / "pixi.lock"
    with pytest.raises(PixiShipError) as caught:
        LockFile(path)
    assert str(caught.value).startswith(f"reading {path}: {BROKEN_LOCKS[directory]}")
    assert caught.value.hint == RELOCK


@needs_corpus
@pytest.mark.parametrize(
    "directory",
    [
        row["dir"]
        for row in index()
        if row["group"] == "lock-fixture" and row["dir"] not in BROKEN_LOCKS
    ],
)
def test_lock_fixture(directory: str) -> None:
    lock = LockFile(CORPUS / directory / "pixi.lock")
    for want in row_of(directory)["linux_envs"]:
        platform = next(
            each for each in lock.platforms(want["env"]) if each.name == want["platform"]
        )
        found = lock.environment(want["env"], platform)
        assert bool(found.unbuildable or found.sources) == bool(want["not_plain"])
