"""`pixi ship run` from the command line to the runtime, with fakes on PATH that write down what
they were told and answer as they were told: which one is chosen, in what form it gets the image,
what is made once and what again, and how mistakes are told.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..registry.fake import FakeRegistry
from ..tiny import Tiny, ship
from .conftest import AWKWARD, Runner

_FAKE = """\
#!{python}
import json, os, sys
with open({log!r}, "a") as log:
    row = {{"words": sys.argv, "env": dict(os.environ), "stdin": sys.stdin.read()}}
    log.write(json.dumps(row) + "\\n")
if sys.argv[1:3] == ["image", "inspect"]:
    sys.exit(not os.path.exists({log!r} + ".loaded"))
if sys.argv[1] == "load":
    open({log!r} + ".loaded", "w")
    sys.exit({refuses})
sys.exit({status})
"""


@dataclass(frozen=True)
class Fakes:
    """Fake runtimes, and pixi-ship where PATH has nothing else."""

    folder: Path
    runner: Runner

    def add(self, *names: str, status: int = 0, refuses: int = 0) -> None:
        for name in names:
            path, log = self.folder / name, str(self.folder / f"{name}.log")
            facts = {"python": sys.executable, "log": log, "status": status, "refuses": refuses}
            path.write_text(_FAKE.format(**facts))
            path.chmod(0o755)

    def told(self, name: str) -> list[dict[str, Any]]:
        log = self.folder / f"{name}.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def verbs(self, name: str) -> list[str]:
        return [each["words"][1] for each in self.told(name)]

    @property
    def cache(self) -> Path:
        return self.runner.cache


@pytest.fixture
def fakes(tmp_path: Path) -> Fakes:
    for name in ("bin", "work"):
        (tmp_path / name).mkdir()
    environment = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home")}
    runner = Runner(tmp_path / "cache", tmp_path / "work", (), environment)
    return Fakes(tmp_path / "bin", runner)


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    tiny = Tiny(tmp_path / "tiny")
    tiny.lock(tiny.good())
    return tiny


@pytest.fixture
def layout(tiny: Tiny) -> str:
    tiny.works()
    return f"oci:{tiny.output}:t"


@pytest.fixture
def sif(tiny: Tiny, tmp_path: Path) -> str:
    reference = f"sif:{tmp_path / 'work' / 'image.sif'}"
    ran = ship(*tiny.words(to=reference))
    assert ran.status == 0, ran.err
    return reference


@pytest.mark.parametrize("name", ["podman", "docker"])
def test_engines_load_an_image_once(fakes: Fakes, layout: str, name: str) -> None:
    fakes.add(name, status=3)
    for _ in range(2):
        done = fakes.runner(layout, "--", "echo", *AWKWARD, stdin="in\n")
        assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
    assert fakes.verbs(name) == ["image", "load", "run", "image", "run"]
    load, run = fakes.told(name)[1], fakes.told(name)[2]
    assert run["words"][-len(AWKWARD) - 1 :] == ["echo", *AWKWARD]
    assert run["stdin"] == "in\n"
    assert "--tty" not in run["words"]
    assert "--interactive" in run["words"]
    assert run["words"][-len(AWKWARD) - 2].startswith("localhost/pixi-ship/run:")
    archive = Path(load["words"][-1])
    assert archive.parent == fakes.cache / "loads"
    assert not archive.exists()


def test_an_engine_that_refuses_an_image(fakes: Fakes, layout: str) -> None:
    fakes.add("podman", refuses=1)
    done = fakes.runner(layout, "--", "true")
    assert done.returncode == 1
    first, hint = done.stderr.splitlines()
    assert first == "error: podman did not take the image"
    assert "load --quiet --input" in hint
    assert fakes.verbs("podman") == ["image", "load"]


def test_engines_pull_by_digest(fakes: Fakes, tiny: Tiny) -> None:
    """An older image under the tag is not taken for the one that the registry has."""
    fakes.add("podman")
    with FakeRegistry() as registry:
        name = f"{registry.address}/lab/fit"
        ran = ship(*tiny.words(to=f"docker://{name}:1"))
        done = fakes.runner(f"docker://{name}:1", "--", "true")
    assert done.returncode == 0, done.stderr
    (run,) = fakes.told("podman")
    assert run["words"][-2:] == [f"{name}@{ran.image['digest']}", "true"]
    assert "--tls-verify=false" in run["words"]
    assert not (fakes.cache / "loads").exists()


@pytest.mark.parametrize("program", ["apptainer", "singularity"])
def test_apptainer_gets_a_sif_that_is_made_once(fakes: Fakes, layout: str, program: str) -> None:
    fakes.add(program, status=4)
    made = []
    for _ in range(2):
        done = fakes.runner(layout, "--env", "A=x, y", "--", "true")
        assert (done.returncode, done.stderr) == (4, "")
        (sif,) = (fakes.cache / "sifs").glob("sha256-*.sif")
        made.append(sif.stat().st_ino)
    assert made[0] == made[1]
    run = fakes.told(program)[0]
    assert run["words"][-2:] == [str(sif), "true"]
    assert run["env"][f"{program.upper()}ENV_A"] == "x, y"
    assert "A" not in run["env"]


def test_a_sif_is_taken_as_it_is(fakes: Fakes, sif: str) -> None:
    """By the first runtime that takes SIFs, though others come before it."""
    fakes.add("podman", "docker", "apptainer", "bwrap")
    for reference, path in ((sif, sif.removeprefix("sif:")), ("sif:image.sif", "./image.sif")):
        done = fakes.runner(reference, "--", "true")
        assert done.returncode == 0, done.stderr
        assert fakes.told("apptainer")[-1]["words"][-2:] == [path, "true"]
    assert not fakes.told("podman")


def test_a_sif_in_a_registry_is_fetched_once(fakes: Fakes, tiny: Tiny) -> None:
    fakes.add("apptainer", "bwrap")
    with FakeRegistry() as registry:
        reference = f"oras://{registry.address}/lab/fit:sif"
        assert ship(*tiny.words(to=reference)).status == 0
        for name in ("apptainer", "apptainer", "bubblewrap"):
            done = fakes.runner(reference, "--runtime", name, "--", "true")
            assert done.returncode == 0, done.stderr
    (sif,) = (fakes.cache / "sifs").glob("sha256-*.sif")
    assert fakes.told("apptainer")[1]["words"][-2:] == [str(sif), "true"]
    (root,) = (fakes.cache / "roots").iterdir()
    assert root.name == sif.stem
    assert list(root.glob("app/.pixi/envs/default/share/thing.txt"))


@pytest.mark.parametrize("form", ["layout", "sif"])
def test_bubblewrap_gets_a_root_that_is_unpacked_once(
    fakes: Fakes, form: str, request: pytest.FixtureRequest
) -> None:
    reference = request.getfixturevalue(form)
    fakes.add("bwrap", status=5)
    made = []
    for _ in range(2):
        done = fakes.runner(reference, "--env", "A=1", "--", "true", env={"LEAK": "1"})
        assert (done.returncode, done.stderr) == (5, "")
        (root,) = (fakes.cache / "roots").iterdir()
        made.append(root.stat().st_ino)
    assert made[0] == made[1]
    assert (root / "app/.pixi/envs/default/share/thing.txt").read_text() == "thing\n"
    run = fakes.told("bwrap")[0]
    assert run["words"][1] == "--info-fd"
    assert run["words"][-3:] == ["--", "/app/entrypoint.sh", "true"]
    assert run["env"]["A"] == "1"
    assert run["env"]["CONDA_PREFIX"] == "/app/.pixi/envs/default"
    assert "LEAK" not in run["env"]


def test_a_changed_sif_is_unpacked_again(fakes: Fakes, sif: str, tiny: Tiny) -> None:
    fakes.add("bwrap")
    assert fakes.runner(sif, "--", "true").returncode == 0
    tiny.lock(tiny.good("other"))
    assert ship(*tiny.words(to=sif)).status == 0
    assert fakes.runner(sif, "--", "true").returncode == 0
    assert len(list((fakes.cache / "roots").iterdir())) == 2


def test_an_environment_is_built_first(fakes: Fakes, tiny: Tiny) -> None:
    fakes.add("apptainer")
    words = ("-w", tiny.work, "--base", "scratch")
    for _ in range(2):
        done = fakes.runner(*words, "-e", "default", "--", "true", "-e", "x")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (sif,) = (fakes.cache / "sifs").iterdir()
    assert fakes.told("apptainer")[1]["words"][-4:] == [str(sif), "true", "-e", "x"]
    tiny.lock(tiny.good("other"))
    assert fakes.runner(*words, "--", "true").returncode == 0
    assert len(list((fakes.cache / "sifs").iterdir())) == 2


@pytest.mark.parametrize("name", ["podman", "docker", "apptainer", "bwrap"])
def test_a_dry_run_starts_nothing(fakes: Fakes, layout: str, name: str) -> None:
    fakes.add(name)
    done = fakes.runner(layout, "--dry-run", "--env", "HOME", "--", "echo", "a b")
    assert done.returncode == 0, done.stderr
    assert not fakes.told(name)
    lines = done.stdout.splitlines()
    assert lines[-1].endswith("echo 'a b'")
    assert fakes.runner.environment["HOME"] not in done.stdout
    shown = fakes.runner.directory / "shown.sh"
    shown.write_text(done.stdout)
    path = os.pathsep.join([fakes.runner.environment["PATH"], "/usr/bin", "/bin"])
    env = {"PATH": path, "HOME": "/other"}
    subprocess.run(["/bin/sh", shown], env=env, stdin=subprocess.DEVNULL, check=True)
    verbs = ["load", "run"] if name in ("podman", "docker") else [fakes.verbs(name)[0]]
    assert fakes.verbs(name) == verbs
    assert fakes.told(name)[-1]["words"][-2:] == ["echo", "a b"]


def test_options_for_the_runtime(fakes: Fakes, layout: str) -> None:
    fakes.add("podman")
    done = fakes.runner(
        *(layout, "--runtime-option=--network=none", "--", "true"),
        env={
            "PIXI_SHIP_PODMAN_OPTIONS": "--ulimit 'nofile=10:20'",
            "PIXI_SHIP_DOCKER_OPTIONS": "x",
        },
    )
    assert done.returncode == 0, done.stderr
    words = fakes.told("podman")[-1]["words"]
    assert words[-5:-2] == ["--ulimit", "nofile=10:20", "--network=none"]
    done = fakes.runner(layout, "--", "true", env={"PIXI_SHIP_PODMAN_OPTIONS": "'"})
    assert done.returncode == 2


Refusal = tuple[tuple[str, ...], int, str]
REFUSED: dict[str, Refusal] = {
    "no runtime": (("IMAGE", "--runtime", "docker", "--", "true"), 1, "PATH has none of docker"),
    "no such bind": (("IMAGE", "--bind", "data", "--", "true"), 2, "there is no "),
    "unset variable": (("IMAGE", "--env", "NOT_SET", "--", "true"), 2, "it is not set here"),
    "no GPUs": (("IMAGE", "--gpus", "x", "--", "true"), 2, "no number of GPUs"),
    "relative": (("IMAGE", "--workdir", "x", "--", "true"), 2, "no absolute path"),
    "scratch": (("scratch", "--", "true"), 2, "nothing in it to run"),
    "no reference": (("--", "true"), 2, "is not a reference"),
    "nothing": ((), 2, "give REF, or -e ENVIRONMENT"),
    "built": (("IMAGE", "--cuda", "12", "--", "true"), 2, "is built already"),
    "no image": (("oci:none", "--", "true"), 1, "reading none"),
    "not for SIFs": (("sif:x", "--runtime", "podman", "--", "true"), 2, "it takes no SIF"),
    "no SIF": (("sif:x", "--", "true"), 1, "PATH has none of apptainer, singularity, bwrap"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_mistakes(fakes: Fakes, layout: str, name: str) -> None:
    words, status, message = REFUSED[name]
    fakes.add("podman")
    done = fakes.runner(*(layout if word == "IMAGE" else word for word in words))
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not fakes.told("podman")


def test_not_over_the_whole_image(fakes: Fakes, layout: str) -> None:
    fakes.add("podman")
    done = fakes.runner(layout, "--", "true", cwd=Path("/"))
    assert done.returncode == 2
    assert "would hide the image" in done.stderr
    done = fakes.runner(layout, "--workdir", "/app", "--", "true", cwd=Path("/"))
    assert done.returncode == 0, done.stderr


def test_two_at_once_unpack_once(fakes: Fakes, layout: str) -> None:
    fakes.add("bwrap")
    several = [fakes.runner.begin(layout, "--", "true") for _ in range(3)]
    assert [each.wait() for each in several] == [0, 0, 0]
    assert len(list((fakes.cache / "roots").iterdir())) == 1
