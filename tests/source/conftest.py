"""Build backends from the package index, once a machine, and workshops that build with them."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import pytest

from pixi_ship.cache import Cache
from pixi_ship.fetch.archives import Archives
from pixi_ship.prefix.bytecode import probe_interpreter
from pixi_ship.prefix.python import PythonInfo
from pixi_ship.sandbox.sandbox import Sandbox
from pixi_ship.source.wheels import Workshop
from pixi_ship.workspace import PypiOptions

from ..channel.tools import run

BACKENDS = ("setuptools", "wheel", "hatchling", "flit-core", "setuptools-scm", "hatch-vcs")
MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
TEST_DATA = Path(__file__).parents[2] / ".test-data"


@pytest.fixture(scope="session")
def backends() -> Path:
    """A directory with the wheels of build backends and what they require."""
    place = Path(os.environ.get("PIXI_SHIP_TEST_DATA", TEST_DATA)) / f"build-backends-{MINOR}"
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(mkdtemp(dir=place.parent, prefix=f".{place.name}."))
        words = ["--only-binary", ":all:", "--disable-pip-version-check", "-q", "-d", str(fresh)]
        run(sys.executable, "-m", "pip", "download", *words, *BACKENDS)
        try:
            fresh.rename(place)
        except OSError:  # another worker was faster
            shutil.rmtree(fresh)
    return place


@pytest.fixture(scope="session")
def uv_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uv-cache")


@pytest.fixture
def variables(tmp_path: Path, backends: Path, uv_cache: Path) -> dict[str, str]:
    """The caller's environment: an index of backends, a home, and a secret."""
    home = tmp_path / "callers-home"
    home.mkdir()
    (home / ".secret").write_text(SECRET)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "UV_FIND_LINKS": str(backends),
        "UV_NO_INDEX": "1",
        "UV_CACHE_DIR": str(uv_cache),
        "PLANTED": SECRET,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }


SECRET = "hunter2-in-the-callers-home"


@pytest.fixture
def workshop(tmp_path: Path, variables: dict[str, str]) -> Workshop:
    """Builds for linux-64 (or what this machine is) with the Python of the tests."""
    return workshop_at(tmp_path / "workspace", tmp_path / "cache", variables)


def workshop_at(root: Path, cache_root: Path, variables: dict[str, str]) -> Workshop:
    root.mkdir(parents=True, exist_ok=True)
    program = shutil.which("bwrap")
    if program is None:
        pytest.skip("bubblewrap is not here")
    interpreter = probe_interpreter(sys.executable)
    assert interpreter is not None
    cache = Cache(cache_root)
    machine = os.uname().machine
    return Workshop(
        cache=cache,
        root=root,
        archives=Archives(cache, root),
        python=PythonInfo(*sys.version_info[:2], f"lib/python{MINOR}/site-packages"),
        subdir={"x86_64": "linux-64"}.get(machine, f"linux-{machine}"),
        interpreters={MINOR: interpreter},
        sandbox=Sandbox(program=program, uid=os.getuid(), gid=os.getgid()),
        unconfined=False,
        runs_target=True,
        environment=variables,
        indexes=PypiOptions(),
        offline=False,
        build_network=False,
        report=lambda what: None,
        timeout=300,
    )


def unconfined(workshop: Workshop) -> Workshop:
    """The same as --no-sandbox has it."""
    return replace(workshop, sandbox=None, unconfined=True)


def wheel_of(folder: Path, name: str, *requires: str, version: str = "1", text: str = "") -> Path:
    """A wheel with one module; what it requires are lines of PEP 508."""
    folder.mkdir(parents=True, exist_ok=True)
    info, path = f"{name}-{version}.dist-info", folder / f"{name}-{version}-py3-none-any.whl"
    rows = "".join(f"Requires-Dist: {each}\n" for each in requires)
    said = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{rows}"
    kind = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {f"{name}.py": text, f"{info}/METADATA": said, f"{info}/WHEEL": kind}
    with zipfile.ZipFile(path, "w") as wheel:
        for member, content in {**files, f"{info}/RECORD": ""}.items():
            wheel.writestr(member, content)
    return path
