"""Apptainer takes the SIF files that pixi-ship writes, and shows what its own conversion shows."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ..conftest import TestData
from ..contract.tools import output
from .conftest import BASE, Sif
from .runtime import Apptainer

PREFIX = "/app/.pixi/envs/default"
# What both runtimes set by themselves, or what tells one call from another.
OWN = ("APPTAINER", "SINGULARITY", "PROMPT", "PS1", "_", "SHLVL", "USER_PATH", "PWD", "OLDPWD")


@pytest.fixture(scope="session", params=["gzip", "zstd", "lz4"])
def own_sif(
    request: pytest.FixtureRequest, channel_data: TestData, tmp_path_factory: pytest.TempPathFactory
) -> Sif:
    """The numpy workspace, made by `pixi-ship build --to sif:`."""
    folder = tmp_path_factory.mktemp("own-sif")
    sif = folder / "numpy.sif"
    report = json.loads(
        output(
            *(sys.executable, "-m", "pixi_ship", "build", "--json"),
            *("--workspace", channel_data.workspace("numpy"), "--cache-dir", folder / "cache"),
            *("--base", BASE, "--to", f"sif:{sif}", "--squashfs-compression", request.param),
        )
    )
    return Sif(sif, report)


def said(apptainer: Apptainer, *words: str | Path, sif: Sif) -> str:
    done = apptainer.run(*words, binds=[sif.path])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("verb", ["exec", "run"])
@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (("python", "-c", "import numpy; print(numpy.linalg.det(numpy.eye(3)))"), "1.0"),
        (("greet",), f"hello world from greet 1.0 in {PREFIX}"),
        (("sh", "-c", "echo $CONDA_PREFIX $PIXI_ENVIRONMENT_NAME"), f"{PREFIX} default"),
        (("sh", "-c", "command -v python"), f"{PREFIX}/bin/python"),
        (("python", "-c", "import sys; print(sys.argv[1:])", "a b", "$HOME"), "['a b', '$HOME']"),
        (("python", "-c", "import site; print(site.ENABLE_USER_SITE)"), "False"),
    ],
)
def test_commands(
    apptainer: Apptainer, own_sif: Sif, verb: str, command: tuple[str, ...], answer: str
) -> None:
    assert said(apptainer, verb, own_sif.path, *command, sif=own_sif) == answer


def test_shell(apptainer: Apptainer, own_sif: Sif) -> None:
    """What a person types into it."""
    done = apptainer.run(
        *("shell", own_sif.path),
        binds=[own_sif.path],
        typed="command -v python\ngreet\necho $PIXI_ENVIRONMENT_NAME\n",
    )
    assert done.returncode == 0, done.stderr
    said = f"{PREFIX}/bin/python\nhello world from greet 1.0 in {PREFIX}\ndefault\n"
    assert done.stdout == said


def test_run_as_a_program_and_test(apptainer: Apptainer, own_sif: Sif) -> None:
    assert said(apptainer, "test", own_sif.path, sif=own_sif) == ""
    listed = said(apptainer, "sif", "list", own_sif.path, sif=own_sif)
    assert "FS (Squashfs/*System/amd64)" in listed
    assert "Def.FILE" in listed


def test_inspect(apptainer: Apptainer, own_sif: Sif) -> None:
    labels = said(apptainer, "inspect", own_sif.path, sif=own_sif)
    assert f"pixi-ship.lock.digest: {own_sif.report['lock_digest']}" in labels
    document = json.loads(said(apptainer, "inspect", "--json", own_sif.path, sif=own_sif))
    found = document["data"]["attributes"]["labels"]
    assert found["pixi-ship.environment"] == "default"
    script = said(apptainer, "inspect", "--runscript", own_sif.path, sif=own_sif)
    assert "/app/entrypoint.sh" in script


def test_nothing_of_the_host_leaks_in(apptainer: Apptainer, own_sif: Sif) -> None:
    done = apptainer.run(
        *("exec", own_sif.path, "python", "-c", "import sys; print(sys.path)"),
        binds=[own_sif.path],
        env={"PYTHONPATH": "/host/modules", "PYTHONHOME": "/host"},
    )
    assert done.returncode == 0, done.stderr
    assert "/host" not in done.stdout


def variables(text: str) -> dict[str, str]:
    rows = (row.partition("=") for row in text.split("\0"))
    return {name: value for name, _, value in rows if name and not name.startswith(OWN)}


def test_like_its_own_conversion(apptainer: Apptainer, own_sif: Sif, foreign_sif: Sif) -> None:
    """The same variables and the same files as in what Apptainer makes of our OCI image."""
    shown = []
    for sif in (own_sif, foreign_sif):
        env = said(apptainer, "exec", sif.path, "env", "-0", sif=sif)
        listed = said(
            *(apptainer, "exec", sif.path, "sh", "-c"),
            "cd / && find app etc/profile.d usr bin lib opt -printf '%p %y %m %s %l\\n' | sort",
            sif=sif,
        )
        shown.append((variables(env), listed.splitlines()))
    (ours, our_files), (theirs, their_files) = shown
    assert ours == theirs
    assert [row for row in our_files if " d " not in row] == [
        row for row in their_files if " d " not in row
    ]
