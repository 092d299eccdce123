"""`doctor` finds what is there, calls nothing an error that is only absent, and shows no secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pixi_ship.doctor.finding import State
from pixi_ship.doctor.machine import (
    Machine,
    cache_finding,
    fuse_finding,
    namespaces_finding,
    runtime_finding,
    subids_finding,
)
from pixi_ship.doctor.questions import Questions
from pixi_ship.doctor.site import ask_site
from pixi_ship.job.site import read_site

from ..registry.authorization import Basic
from ..registry.fake import FakeRegistry
from ..registry.shipping import home, logged_in
from ..tiny import Tiny, ship
from .test_parsing import DATA

__all__ = ["home"]

PASSWORD = "hunter2-pa55"
CLUSTER = {
    "sinfo": 'case "$1" in --version) cat {0}/sinfo-version.txt ;; *) cat {0}/sinfo.txt ;; esac',
    "scontrol": "cat {0}/config.txt",
    "sacctmgr": 'case "$*" in *associations*) cat {0}/associations.txt ;;'
    " *) cat {0}/default-account.txt ;; esac",
    "srun": "echo '      --container-image=[USER@][REGISTRY#]IMAGE[:TAG]|PATH'",
    "condor_version": "cat {0}/condor-version.txt",
    "condor_status": "cat {0}/condor-status.json",
}


def programs(directory: Path, texts: dict[str, str]) -> Path:
    """A directory with shell scripts of these names."""
    directory.mkdir(exist_ok=True)
    for name, text in texts.items():
        path = directory / name
        path.write_text(f"#!/bin/sh\n{text.format(DATA)}\n")
        path.chmod(0o755)
    return directory


def machine(root: Path, texts: dict[str, str] | None = None, seconds: float = 10) -> Machine:
    path = programs(root / "bin", texts or {})
    environment = {"PATH": f"{path}:/bin"} if texts else {"PATH": str(path)}
    return Machine(Questions(environment, seconds), "me", 1000, root)


def written(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_who_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    texts = {"sinfo": "sleep 600", "condor_version": "sleep 600 & exec sleep 600"}
    facts = ask_site(machine(tmp_path, texts, seconds=0.2), tmp_path, "here")
    assert (facts.cluster, facts.pool) == (None, None)


def test_who_answers_some_questions_only(tmp_path: Path) -> None:
    facts = ask_site(machine(tmp_path, {"sinfo": "echo slurm 24.11.0"}), tmp_path, "here")
    assert facts.cluster is not None
    assert (facts.cluster.version, facts.cluster.partitions) == ("24.11.0", ())


def test_runtimes(tmp_path: Path) -> None:
    texts = {
        "podman": "echo podman version 5.4.2",
        "docker": '[ "$1" = --version ] && echo "Docker version 28.0.1, build x"',
        "singularity": "echo singularity-ce version 4.3.0-1",
        "bwrap": "exit 1",
    }
    here = machine(tmp_path, texts)
    found = {name: runtime_finding(here, name) for name in ("podman", "docker", "apptainer")}
    assert found["podman"].state is State.GOOD
    assert found["podman"].detail.startswith("5.4.2 at ")
    assert found["docker"].state is State.NOTE
    assert "its server does not answer" in found["docker"].detail
    assert found["apptainer"].detail.startswith("4.3.0-1 at ")
    assert runtime_finding(here, "bubblewrap").state is State.BAD
    assert runtime_finding(machine(tmp_path / "empty-root"), "podman").state is State.ABSENT


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    (tmp_path / "empty-root").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("proc/sys/user/max_user_namespaces", "0\n"),
        ("proc/sys/kernel/unprivileged_userns_clone", "0\n"),
        ("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n"),
    ],
)
def test_namespaces_that_are_forbidden(tmp_path: Path, path: str, value: str) -> None:
    written(tmp_path, path, value)
    found = namespaces_finding(machine(tmp_path, {"unshare": "exit 1"}))
    assert (found.state, path in found.detail) == (State.NOTE, True)


def test_namespaces(tmp_path: Path) -> None:
    assert namespaces_finding(machine(tmp_path, {"unshare": "exit 0"})).state is State.GOOD
    assert namespaces_finding(machine(tmp_path / "empty-root")).state is State.ABSENT


@pytest.mark.parametrize(
    ("subuid", "subgid", "state"),
    [
        ("me:100000:65536\n", "1000:100000:65536\n", State.GOOD),
        ("you:100000:65536\n", "me:100000:65536\n", State.NOTE),
        ("me:100000:65536\n", "", State.NOTE),
        ("me:many:65536\n", "me:100000:65536\n", State.NOTE),
    ],
)
def test_further_numbers(tmp_path: Path, subuid: str, subgid: str, state: State) -> None:
    written(tmp_path, "etc/subuid", subuid)
    written(tmp_path, "etc/subgid", subgid)
    assert subids_finding(machine(tmp_path)).state is state


def test_fuse(tmp_path: Path) -> None:
    here = machine(tmp_path, {"fusermount3": ""})
    assert "not there" in fuse_finding(here).detail
    written(tmp_path, "dev/fuse", "")
    assert fuse_finding(here).state is State.GOOD


def test_a_cache_on_a_network(tmp_path: Path) -> None:
    line = f"1 0 0:1 / {tmp_path} rw - nfs4 server:/ rw\n"
    written(tmp_path, "proc/self/mountinfo", line)
    found = cache_finding(machine(tmp_path), tmp_path / "not" / "yet")
    assert found.state is State.NOTE
    assert "on nfs4" in found.detail


def test_a_cache_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert cache_finding(machine(tmp_path), tmp_path / "file" / "cache").state is State.BAD
    ran = ship("doctor", "--cache-dir", tmp_path / "file" / "cache")
    assert ran.status == 1
    assert "cannot be written to" in ran.out


def test_this_machine(tmp_path: Path) -> None:
    """Whatever it has, the verb says something of everything, and nothing is made."""
    ran = ship("doctor", "--json", "--cache-dir", tmp_path / "cache")
    document: dict[str, Any] = json.loads(ran.out)
    subjects = [each["subject"] for each in document["findings"]]
    assert {"Python", "cache", "podman", "docker", "apptainer", "fuse"} <= set(subjects)
    assert document["profile"] is None
    assert not (tmp_path / "cache").exists()


def test_a_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = programs(tmp_path / "bin", CLUSTER)
    monkeypatch.setenv("PATH", f"{path}:/bin:/usr/bin")
    target = tmp_path / "site.toml"
    cache = ("--cache-dir", tmp_path / "cache")
    ran = ship("doctor", "--site", "--json", "--write", target, *cache)
    document = json.loads(ran.out)
    assert (ran.status, document["profile"]) == (0, target.read_text())
    assert document["slurm"]["version"] == "26.05.5"
    assert document["slurm"]["accounts"] == ["astro", "physics"]
    assert document["slurm"]["pyxis"] is True
    assert document["htcondor"]["gpus"][0]["capability"] == 8.0
    site = read_site([target])
    assert (site.partition, site.account, site.common_image) == ("main", "physics", True)
    shown = ship("doctor", "--site", *cache).out
    assert shown.endswith(f"\n\n{target.read_text()}")


def test_a_profile_that_exists_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "site.toml"
    target.write_text("mine")
    ran = ship("doctor", "--site", "--write", target)
    assert (ran.status, target.read_text()) == (2, "mine")
    assert "exists already" in ran.err
    assert ship("doctor", "--write", tmp_path / "other.toml").status == 2


@pytest.fixture
def auth(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that REGISTRY_AUTH_FILE names."""
    path = tmp_path / "auth.json"
    path.write_text("{}")
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(path))
    monkeypatch.setenv("PIXI_SHIP_CACHE_DIR", str(tmp_path / "cache"))
    return path


def test_a_registry(tmp_path: Path, auth: Path) -> None:
    tiny = Tiny(tmp_path / "tiny")
    tiny.lock(tiny.good())
    with FakeRegistry(authorization=Basic({"ann": PASSWORD})) as registry:
        image = f"docker://{registry.address}/lab/fit"
        refused = ship("doctor", f"{image}:1")
        logged_in(auth, registry.address, "ann", PASSWORD)
        words = ("build", "-w", tiny.work, "--cache-dir", tiny.cache, "--base", "scratch")
        assert ship(*words, "--to", f"{image}:1").status == 0
        ran = ship("doctor", image, f"{image}:1", f"{image}@sha256:{'0' * 64}", "--json")
        nowhere = ship("doctor", f"docker://{registry.address}/lab/none")
    assert refused.status == 1
    findings = {each["subject"]: each for each in json.loads(ran.out)["findings"]}
    details = [each["detail"] for key, each in findings.items() if "//" in key]
    assert details[0] == "readable, 1 tag, none of them latest, with a login"
    assert details[1].startswith("readable, sha256:")
    assert details[2] == "readable, 1 tag, this digest is not there, with a login"
    assert (ran.status, nowhere.status) == (0, 1)
    assert PASSWORD not in ran.out + ran.err + refused.out


def test_a_registry_that_is_none(tmp_path: Path, auth: Path) -> None:
    ran = ship("doctor", "oci:layout")
    assert (ran.status, "is in no registry" in ran.err) == (2, True)
