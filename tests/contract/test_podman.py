"""Podman starts jobs in our images, whoever runs them and however they are started."""

from __future__ import annotations

import pytest

from .conftest import FORMS, TAG, Built
from .tools import Podman, run

pytestmark = pytest.mark.xdist_group("podman")

PREFIX = "/app/.pixi/envs/default"

ENTRY = {"entrypoint": [], "no-entrypoint": ["--entrypoint", ""]}
USER = {"root": [], "stranger": ["--user", "12345:12345", "--read-only"]}

ENVIRONMENT = "import os; print(*(os.environ[name] for name in '{}'.split()), sep='\\n')"
CHECKS = {
    "python": (["python", "-c", "import sys; print(sys.prefix)"], PREFIX),
    "numpy": (["python", "-c", "import numpy; print(numpy.ones((3, 3)).sum())"], "9.0"),
    "greet": (["greet"], f"hello world from greet 1.0 in {PREFIX}"),
    "native": (
        ["native", "one argument"],
        f"prefix {PREFIX}\n"
        f"search {PREFIX}/share/native:{PREFIX}/lib/native:/usr/share/native\n"
        f"argument one argument\nthe message of {PREFIX}",
    ),
    "activation": (
        ["python", "-c", ENVIRONMENT.format("ACTIV_HOME ACTIV_GREETING DEMO_MODE CONDA_PREFIX")],
        f"{PREFIX}/share/activ\nhello, activ\nbatch\n{PREFIX}",
    ),
    "wheel": (["trinket"], f"trinket {PREFIX}"),
}


@pytest.fixture(scope="module")
def identity(podman: Podman, gzip_image: Built) -> str:
    return podman.pull(gzip_image.references["oci-archive"])


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("user", USER)
@pytest.mark.parametrize("entry", ENTRY)
def test_job(podman: Podman, identity: str, entry: str, user: str, check: str) -> None:
    command, expected = CHECKS[check]
    done = podman.run(identity, *command, options=[*ENTRY[entry], *USER[user]])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == expected


@pytest.mark.parametrize("user", USER)
@pytest.mark.parametrize("entry", ENTRY)
def test_entrypoint_as_a_command(podman: Podman, identity: str, entry: str, user: str) -> None:
    """HTCondor and old job scripts name the entrypoint themselves, maybe a second time."""
    command, expected = CHECKS["python"]
    options = [*ENTRY[entry], *USER[user]]
    done = podman.run(identity, "/app/entrypoint.sh", *command, options=options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == expected


def test_entrypoint_twice_changes_nothing(podman: Podman, identity: str) -> None:
    command = ["env"]
    once = podman.run(identity, *command)
    twice = podman.run(identity, "/app/entrypoint.sh", *command)
    assert _variables(once.stdout) == _variables(twice.stdout)


def test_entrypoint_hands_over_arguments_and_status(podman: Podman, identity: str) -> None:
    words = ["two  spaces", "$HOME", "'quoted'", "*", ""]
    code = "import sys; print(sys.argv[1:]); sys.exit(7)"
    done = podman.run(identity, "python", "-c", code, *words)
    assert done.returncode == 7
    assert done.stdout.strip() == repr(words)


@pytest.mark.parametrize("user", USER)
def test_entrypoint_sourced_without_its_last_line(podman: Podman, identity: str, user: str) -> None:
    """The way the paper's job scripts activate, here from an environment that knows nothing."""
    script = (
        ". <(sed '$d' /app/entrypoint.sh); "
        "python -c \"import os, sys; print(sys.prefix, os.environ['ACTIV_HOME'])\"; echo still here"
    )
    clean = ["env", "-i", "HOME=/tmp", "PATH=/usr/bin:/bin", "bash", "-c", script]
    done = podman.run(identity, *clean, options=[*ENTRY["no-entrypoint"], *USER[user]])
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == [f"{PREFIX} {PREFIX}/share/activ", "still here"]


def test_without_a_command_there_is_a_shell(podman: Podman, identity: str) -> None:
    done = podman.run(identity)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("form", FORMS)
def test_podman_reads_every_form(podman: Podman, image: Built, form: str) -> None:
    reference = image.references[form]
    if form == "oci":
        # Podman makes an image name of an `oci:` path, so the path must look like one.
        pulled = podman.pull(f"oci:{image.layout.name}:{TAG}", cwd=image.layout.parent)
    elif form == "docker-archive":
        pulled = podman.pull(reference.split(":example/")[0])
    else:
        pulled = podman.pull(reference)
    command, expected = CHECKS["native"]
    done = podman.run(pulled, *command, options=USER["stranger"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == expected


def test_every_form_is_the_same_image(podman: Podman, gzip_image: Built) -> None:
    """Podman's identity of an image is the digest of its configuration."""
    oci = podman.pull(gzip_image.references["oci-archive"])
    docker = podman.pull(gzip_image.references["docker-archive"].split(":example/")[0])
    assert oci == docker


def test_docker_archive_carries_its_name(podman: Podman, gzip_image: Built) -> None:
    archive = gzip_image.references["docker-archive"].split(":")[1]
    loaded = run(*podman.words("load", "--quiet", "--input", archive))
    assert loaded.returncode == 0, loaded.stderr
    assert f"example/{TAG}:1" in loaded.stdout


def _variables(text: str) -> dict[str, str]:
    pairs = dict(line.partition("=")[::2] for line in text.splitlines())
    # Each container has a name of its own, and a shell counts itself.
    return {name: value for name, value in pairs.items() if name not in ("HOSTNAME", "_", "SHLVL")}
