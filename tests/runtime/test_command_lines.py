"""The command line of every runtime for every option is the one that is written down; what cannot
be bound, or named, is refused before anything starts. A line that is shown is one that a shell
reads as the same words, and tells no inherited value.
"""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pixi_ship.errors import PixiShipError, UsageError
from pixi_ship.runtime.find import RUNTIMES, Form, find_runtime
from pixi_ship.runtime.image import RunnableImage, variables_of, words_of
from pixi_ship.runtime.invocation import Invocation
from pixi_ship.runtime.spec import (
    Bind,
    Like,
    Variable,
    parse_bind,
    parse_gpus,
    parse_variable,
)

from .conftest import AWKWARD
from .specs import GOLDEN, PLAIN, SPECS, command_lines, image, make_root


def test_as_written_down(tmp_path: Path) -> None:
    make_root(tmp_path / "root")
    assert command_lines(tmp_path / "root") == GOLDEN.read_text()


def test_every_runtime_and_job_is_written_down() -> None:
    titles = [line for line in GOLDEN.read_text().splitlines() if line.startswith("# ")]
    assert len(titles) == len(set(titles)) == len(RUNTIMES) * len(SPECS) - 3


@pytest.mark.parametrize("name", RUNTIMES)
def test_words_are_handed_on(name: str, tmp_path: Path) -> None:
    make_root(tmp_path / "root")
    runtime = RUNTIMES[name]
    spec = replace(PLAIN, command=("echo", *AWKWARD))
    line = runtime.command_line(name, image(runtime.form, tmp_path / "root"), spec)
    assert line.words[-len(AWKWARD) :] == AWKWARD


def test_a_shown_line_is_the_line() -> None:
    shown = str(Invocation(("printf", "%s\\0", *AWKWARD), (Variable("A", "x y\n'z'"),)))
    done = subprocess.run(["sh", "-c", shown], capture_output=True, text=True, check=True)
    assert tuple(done.stdout.split("\0")[:-1]) == AWKWARD


def test_inherited_values_are_not_shown() -> None:
    for prefix in ("", "APPTAINERENV_", "SINGULARITYENV_"):
        line = Invocation(("env",), (Variable(f"{prefix}TOKEN", "hunter2", True),), alone=True)
        assert "hunter2" not in str(line) + repr(line)
        done = subprocess.run(
            ["sh", "-c", str(line)], capture_output=True, text=True, env={"TOKEN": "other"}
        )
        assert done.stdout == f"{prefix}TOKEN=other\n"


def test_environment_of_a_runtime() -> None:
    line = Invocation(("x",), (Variable("A", "1"),))
    assert line.environment({"B": "2", "A": "0"}) == {"A": "1", "B": "2"}
    assert replace(line, alone=True).environment({"B": "2"}) == {"A": "1"}


def test_singularity_goes_by_its_own_prefix() -> None:
    spec = replace(PLAIN, variables=(Variable("A", "1"),))
    line = RUNTIMES["apptainer"].command_line("/bin/singularity", image(Form.SIF, Path()), spec)
    assert [each.name for each in line.variables] == ["SINGULARITYENV_A"]


def test_plain_http_and_logins_reach_podman() -> None:
    there = RunnableImage("127.0.0.1:5000/x@sha256:0", {}, plain_http=True, authfile="/auth.json")
    words = RUNTIMES["podman"].command_line("podman", there, PLAIN).words
    assert "--tls-verify=false" in words
    assert words[words.index("--authfile") + 1] == "/auth.json"


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("data", Bind("/here/data", "/here/data")),
        ("/data", Bind("/data", "/data")),
        ("data:/in", Bind("/here/data", "/in")),
        ("/a b:/in/:ro", Bind("/a b", "/in", True)),
        ("/a:/in:rw", Bind("/a", "/in")),
    ],
)
def test_binds(text: str, bind: Bind) -> None:
    assert parse_bind(text, "/here") == bind


@pytest.mark.parametrize(
    "text", ["", ":/in", "/a:in", "/a:/in:x", "/a:/b:ro:x", "/a:/", "/a:/b/../.."]
)
def test_no_binds(text: str) -> None:
    with pytest.raises(UsageError):
        parse_bind(text, "/work")


def test_variables() -> None:
    assert parse_variable("A=b=c", {}) == Variable("A", "b=c")
    assert parse_variable("A=", {"A": "x"}) == Variable("A", "")
    assert parse_variable("A", {"A": "x"}) == Variable("A", "x", True)
    for text in ("", "=x", "A-B=1", "1A=1", "A", "A*"):
        with pytest.raises(UsageError):
            parse_variable(text, {"B": "x"})


def test_gpus() -> None:
    assert [parse_gpus(each) for each in ("all", "1", "16")] == ["all", "1", "16"]
    for text in ("0", "-1", "some", "1.5", "²", ""):
        with pytest.raises(UsageError):
            parse_gpus(text)


@pytest.mark.parametrize(("name", "refused"), [("podman", "/a:b"), ("apptainer", "/a,b")])
def test_paths_that_a_runtime_would_cut(name: str, refused: str, tmp_path: Path) -> None:
    spec = replace(PLAIN, binds=(Bind(refused, "/in"),))
    with pytest.raises(UsageError, match="binding"):
        RUNTIMES[name].command_line(name, image(RUNTIMES[name].form, tmp_path), spec)
    root = tmp_path / "root"
    make_root(root)
    words = RUNTIMES["bubblewrap"].command_line("bwrap", image(Form.ROOT, root), spec).words
    assert refused in words


def test_the_last_bind_of_a_target_counts() -> None:
    spec = replace(PLAIN, binds=(Bind("/a", PLAIN.caller.directory), Bind("/b", "/in")))
    assert spec.mounts() == (Bind("/a", PLAIN.caller.directory), Bind("/b", "/in"))


def test_an_image_without_a_command(tmp_path: Path) -> None:
    make_root(tmp_path / "root")
    spec = replace(PLAIN, command=())
    empty = RunnableImage(str(tmp_path / "root"), {})
    with pytest.raises(UsageError, match="no command"):
        RUNTIMES["bubblewrap"].command_line("bwrap", empty, spec)


def test_settings_of_odd_images() -> None:
    odd = {"Env": ["A=1", "B", "=x", 7], "Entrypoint": "sh", "Cmd": ["a", 1]}
    assert variables_of(odd) == {"A": "1"}
    assert words_of(odd, "Entrypoint") == ()
    assert words_of(odd, "Cmd") == ("a", "1")
    assert variables_of({}) == {}


def which(*programs: str) -> dict[str, str]:
    return {each: f"/usr/bin/{each}" for each in programs}


@pytest.mark.parametrize(
    ("here", "sif", "gpus", "found"),
    [
        (("bwrap", "apptainer", "docker", "podman"), False, False, "podman"),
        (("bwrap", "apptainer", "docker"), False, False, "docker"),
        (("bwrap", "apptainer", "docker", "podman"), True, False, "apptainer"),
        (("singularity", "bwrap"), False, True, "apptainer"),
        (("bwrap", "docker"), True, False, "bubblewrap"),
    ],
)
def test_the_first_that_can(here: tuple[str, ...], sif: bool, gpus: bool, found: str) -> None:
    assert find_runtime(which(*here).get, name=None, sif=sif, gpus=gpus).runtime.name == found


def test_the_one_that_was_named() -> None:
    found = find_runtime(which("podman", "bwrap").get, name="bubblewrap", sif=True, gpus=False)
    assert found.program == "/usr/bin/bwrap"
    for name, sif, gpus in (("podman", True, False), ("bubblewrap", False, True)):
        with pytest.raises(UsageError, match=f"--runtime {name}: it ") as caught:
            find_runtime(which("podman", "bwrap").get, name=name, sif=sif, gpus=gpus)
        assert "apptainer" in str(caught.value.hint)


def test_none_is_here() -> None:
    for name, sif, looked_for in (
        (None, False, "podman, docker, apptainer, singularity, bwrap"),
        (None, True, "apptainer, singularity, bwrap"),
        ("docker", False, "docker"),
    ):
        with pytest.raises(PixiShipError) as caught:
            find_runtime(which().get, name=name, sif=sif, gpus=False)
        assert str(caught.value).endswith(f"PATH has none of {looked_for}")
        assert "install one" in str(caught.value.hint)


def test_sites_say_which_entrypoint_runs() -> None:
    for like in (Like.HTCONDOR, Like.SLURM):
        assert not replace(PLAIN, like=like).runs_entrypoint
        assert replace(PLAIN, like=like, command=()).runs_entrypoint
    assert PLAIN.runs_entrypoint
    assert shlex.split(str(Invocation(("a b",)))) == ["a b"]
