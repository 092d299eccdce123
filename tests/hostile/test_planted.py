"""Credentials lying about where an image is made are found nowhere in it, nor in what is said."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from ..contract.every_kind import every_kind
from ..source import projects
from ..source.conftest import backends
from ..tiny import Ran, lacking, ship_apart

__all__ = ["backends"]

REPOSITORY = Path(__file__).parents[2]
DATA = REPOSITORY / ".test-data"
MARK = "pl4nted"
IN_WORKSPACE = {
    ".netrc": "machine example.org login joe password {0}\n",
    ".env": "API_TOKEN={0}\n",
    ".git/config": "[remote]\n  url = https://joe:{0}@example.org/x.git\n",
    ".docker/config.json": '{{"auths": {{"example.org": {{"auth": "{0}"}}}}}}',
    "secrets/id_ed25519": "-----BEGIN OPENSSH PRIVATE KEY-----\n{0}\n",
    "secrets/server.key": "-----BEGIN PRIVATE KEY-----\n{0}\n",
    ".pixi/config.toml": "# {0}\n",
}
IN_HOME = {
    ".netrc": IN_WORKSPACE[".netrc"],
    ".pypirc": "[pypi]\npassword = {0}\n",
    ".ssh/id_rsa": IN_WORKSPACE["secrets/server.key"],
    ".aws/credentials": "[default]\naws_secret_access_key = {0}\n",
    ".docker/config.json": IN_WORKSPACE[".docker/config.json"],
    ".rattler/credentials.json": '{{"*.example.org": {{"BearerToken": "{0}"}}}}',
}
IN_ENVIRONMENT = (
    *("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "UV_INDEX_PRIVATE_PASSWORD", "NETRC_PASSWORD"),
    *("REGISTRY_AUTH", "SLURM_JWT", "DEMO_SECRET"),
)
# A backend that looks for all it can find, puts it into the wheel, prints it, and may fail.
SNOOP = """
import glob, pathlib
HOME, FAILS = given
found = [f"{name}={value}" for name, value in os.environ.items()]
for place in (os.path.expanduser("~"), "/root", "/home", "/work", "/tmp", ".", "..", HOME):
    for path in glob.glob(f"{place}/**/.*", recursive=True) + glob.glob(f"{place}/.*/*"):
        try:
            found.append(pathlib.Path(path).read_text())
        except Exception as error:
            found.append(repr(error))
try:
    found.append(pathlib.Path("/proc/1/environ").read_text())
except OSError as error:
    found.append(repr(error))
print(found)
if FAILS:
    raise SystemExit(1)
return make(wheel_directory, name="snoop", data="FOUND = " + repr(found))
"""


@pytest.fixture
def planted(tmp_path: Path, backends: Path) -> tuple[Path, Path, dict[str, str]]:
    """A workspace of every kind, the archive to inject, and the caller's variables."""
    if not (DATA / "base" / "index.json").is_file():
        lacking("no base image (make setup makes it)")
    kinds = every_kind(DATA / "channel" / "workspaces" / "pyproject", tmp_path)
    home = tmp_path / "callers-home"
    for place, files in ((kinds.root, IN_WORKSPACE), (home, IN_HOME)):
        projects.write(place, {name: text.format(MARK) for name, text in files.items()})
    environment = dict.fromkeys(IN_ENVIRONMENT, MARK)
    environment |= {
        "HOME": str(home),
        "UV_FIND_LINKS": str(backends),
        "UV_NO_INDEX": "1",
        "UV_CACHE_DIR": str(tmp_path / "uv"),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    return kinds.root, kinds.injected, environment


def add_snoop(root: Path, home: str, *, fails: bool) -> None:
    projects.write(
        root / "snoop", projects.hostile(SNOOP.replace("given", repr((home, fails))), name="snoop")
    )
    lock = root / "pixi.lock"
    text = lock.read_text().replace(
        "      - pypi: ./\n", "      - pypi: ./\n      - pypi: ./snoop\n"
    )
    lock.write_text(text + "- pypi: ./snoop\n  name: snoop\n")


def built(
    root: Path, injected: Path, environment: dict[str, str], tmp_path: Path, *more: str
) -> Ran:
    words: list[str | Path] = ["build", "-w", root, "--base", f"oci:{DATA / 'base'}:bookworm"]
    words += ["--cache-dir", tmp_path / "cache", "--inject", injected, "--json"]
    words += [
        "--sbom",
        f"spdx:{tmp_path / 'spdx.json'}",
        "--provenance",
        f"slsa:{tmp_path / 'slsa.json'}",
        *more,
    ]
    return ship_apart(*words, "--to", f"oci:{tmp_path / 'out'}:t", env=environment, cwd=root)


def assert_nowhere(ran: Ran, tmp_path: Path) -> None:
    assert MARK not in ran.out + ran.err
    files = [path for place in ("out", "cache") for path in (tmp_path / place).rglob("*")]
    for path in [*files, tmp_path / "slsa.json", tmp_path / "spdx.json"]:
        if path.is_file():
            data = path.read_bytes()
            if data[:2] == b"\x1f\x8b":
                data = gzip.decompress(data)
            assert MARK.encode() not in data, path


def test_in_an_image_of_everything(
    planted: tuple[Path, Path, dict[str, str]], tmp_path: Path
) -> None:
    root, injected, environment = planted
    add_snoop(root, environment["HOME"], fails=False)
    (root / ".gitignore").write_text(".pixi\n.netrc\n.env\n.docker\nsecrets\nsnoop/.*\n")
    ran = built(root, injected, environment, tmp_path, "--include", ".")
    assert ran.status == 0, ran.err
    assert_nowhere(ran, tmp_path)
    names = {each["name"] for each in json.loads(ran.out)["images"][0]["sources"]}
    assert "snoop" in names


def test_in_what_is_said_of_a_build_that_fails(
    planted: tuple[Path, Path, dict[str, str]], tmp_path: Path
) -> None:
    root, injected, environment = planted
    add_snoop(root, environment["HOME"], fails=True)
    ran = built(root, injected, environment, tmp_path)
    assert ran.status == 1
    assert "building snoop" in ran.err
    assert MARK not in ran.out + ran.err
    assert not (tmp_path / "out").exists()


def test_files_that_look_like_credentials_are_refused(
    planted: tuple[Path, Path, dict[str, str]], tmp_path: Path
) -> None:
    root, injected, environment = planted
    ran = built(root, injected, environment, tmp_path, "--include", ".")
    assert ran.status == 1
    for name in (
        ".netrc",
        ".env",
        ".docker/config.json",
        "secrets/id_ed25519",
        "secrets/server.key",
    ):
        assert name in ran.err
    assert MARK not in ran.out + ran.err
    assert not (tmp_path / "out").exists()
