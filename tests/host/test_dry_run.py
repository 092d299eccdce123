"""What --dry-run shows of a job for a host: it asks nobody, and a person could do it by hand."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pixi_ship.errors import UsageError
from pixi_ship.host.address import checked_host, checked_jobs, place

from ..tiny import ship_apart
from .cluster import NAME, Cluster, eventually


def dry(cluster: Cluster, work: Path, sif: Path, *options: str) -> dict[str, Any]:
    (work / "data").write_text("1 2\n")
    words = ("submit", "slurm", f"sif:{sif}", "--host", NAME, "--input", "data", "--dry-run")
    command = ("--json", "--", "cat", "data")
    done = ship_apart(*words, *options, *command, env=cluster.environment, cwd=work)
    assert cluster.called("ssh") == cluster.called("rsync") == []
    assert not (work / "jobs").exists()
    return done.document


def test_the_lines_do_what_they_say(cluster: Cluster, tmp_path: Path, sif: Path) -> None:
    document = dry(cluster, tmp_path, sif, "--remote-jobs", str(cluster.home / "j"))
    here = tmp_path / "jobs" / "fit-1"
    here.mkdir(parents=True)
    for file in document["files"]:
        (here / file["name"]).write_text(file["text"])
    # What in this ssh_config comes between a person and rsync.
    config = cluster.near / "ssh_config"
    config.write_text(config.read_text().partition("  RemoteCommand")[0])
    for line in document["lines"]:
        subprocess.run(["sh", "-c", line], env=cluster.environment, check=True)
    there = cluster.home / "j" / "fit-1"
    eventually(lambda: (there / "exit-code").exists())
    assert (there / "stdout.txt").read_text() == "1 2\n"


def test_a_home_that_is_not_known_before(cluster: Cluster, tmp_path: Path, sif: Path) -> None:
    """A sign stands for it in the files; the lines count from it by themselves."""
    document = dry(cluster, tmp_path, sif)
    (file,) = document["files"]
    assert "~/pixi-ship-jobs/fit-1/.inputs/data" in file["text"]
    assert "#SBATCH --output=~/pixi-ship-jobs/fit-1/stdout.txt" in file["text"]
    assert document["lines"][0] == f"ssh {NAME} 'mkdir -p pixi-ship-jobs/fit-1'"
    assert document["lines"][-1].startswith(f"ssh {NAME} 'cd pixi-ship-jobs/fit-1 && sbatch ")


def test_without_a_host_there_is_one_line(cluster: Cluster, tmp_path: Path, sif: Path) -> None:
    words = ("submit", "slurm", f"sif:{sif}", "--dry-run", "--json", "--", "true")
    done = ship_apart(*words, env=cluster.environment, cwd=tmp_path)
    assert json.loads(done.out)["lines"] == ["sbatch --parsable fit.sbatch"]


HOSTS = [
    "login.example.org",
    "me@login.example.org",
    "a_b",
    "h1",
    "me@CERN.CH@h",
    "::1",
    "me@fe80::1",
]
NOT_HOSTS = [
    *(
        "",
        "-oProxyCommand=x",
        "a b",
        "a\tb",
        "a\nb",
        "h\n",
        "\x1b[31m",
        "me@",
        "@h",
        "me@-h",
        "-l@h",
    ),
    *(
        "ssh://h",
        "h/x",
        "h:22",
        "h;id",
        "$(id)",
        "`id`",
        "h'",
        'h"',
        "h\\",
        "ü",
        "h" * 300,
        "[::1]",
    ),
]


@pytest.mark.parametrize("name", HOSTS)
def test_hosts(name: str) -> None:
    assert checked_host(name) == name


@pytest.mark.parametrize("name", NOT_HOSTS)
def test_what_is_no_host(name: str) -> None:
    with pytest.raises(UsageError, match="is no host"):
        checked_host(name)


@pytest.mark.parametrize("host", ["", "-oProxyCommand=touch ran", "-F/dev/null"])
def test_a_host_that_would_be_an_option(
    cluster: Cluster, tmp_path: Path, sif: Path, host: str
) -> None:
    words = ("submit", "slurm", f"sif:{sif}", f"--host={host}", "--")
    done = ship_apart(*words, "true", env=cluster.environment, cwd=tmp_path)
    assert done.status == 2
    assert "is no host" in done.err
    assert cluster.called("ssh") == []
    assert not (tmp_path / "jobs").exists()


def test_places_for_rsync() -> None:
    assert place("me@h", "/x") == "me@h:/x"
    assert place("me@fe80::1", "/x") == "me@[fe80::1]:/x"
    assert place("::1", "x y") == "[::1]:x y"


@pytest.mark.parametrize(
    ("text", "path"), [("jobs", "jobs"), ("~/a/b/", "a/b"), ("/x y/z", "/x y/z"), ("-j", "-j")]
)
def test_directories_there(text: str, path: str) -> None:
    assert checked_jobs(text) == path


@pytest.mark.parametrize("text", ["", "/", "~", "~other/jobs", "a*", "a?", "[a]", "a\\b", "a\nb"])
def test_what_is_no_directory_there(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be a directory there"):
        checked_jobs(text)


def test_inputs_of_one_name(cluster: Cluster, tmp_path: Path, sif: Path) -> None:
    """The second would lie over the first."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "data").touch()
    words = ("submit", "slurm", f"sif:{sif}", "--host", NAME, "--input", "a/data", "--input")
    done = ship_apart(*words, "b/data", "--", "true", env=cluster.environment, cwd=tmp_path)
    assert done.status == 2
    assert "2 inputs are named 'data'" in done.err
