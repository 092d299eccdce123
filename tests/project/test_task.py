"""A task becomes the command that Pixi would run: the right task, values, order and directory."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pixi_ship.errors import TaskError
from pixi_ship.project.obstacle import Obstacle
from pixi_ship.project.task import TaskCommand, task_command
from pixi_ship.workspace import find_workspace

TARGETS = ("linux-64", "linux", "unix")


def command(
    root: Path, manifest: str, name: str, *arguments: str, environment: str = "default"
) -> TaskCommand:
    (root / "pixi.toml").write_text("[workspace]\nname = 'w'\n" + manifest)
    workspace = find_workspace(root, search_upward=False)
    return task_command(workspace, environment, TARGETS, "linux-64", name, arguments)


def line(root: Path, manifest: str, name: str, *arguments: str) -> str:
    """The one line of a shell's command."""
    words = command(root, manifest, name, *arguments).words
    assert words[:2] == ("/bin/sh", "-c")
    return words[2]


def refusal(
    root: Path, manifest: str, name: str, *arguments: str, environment: str = "default"
) -> TaskError:
    with pytest.raises(TaskError) as caught:
        command(root, manifest, name, *arguments, environment=environment)
    assert str(caught.value).startswith(f"taking task {name!r} as the command: ")
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("written", "want"),
    [
        ("t = 'python train.py --n 3'", ("python", "train.py", "--n", "3")),
        ("t = { cmd = 'a b', description = 'd', inputs = ['x'], outputs = [] }", ("a", "b")),
        ("t = { cmd = ['a', 'b c', '', 'd[1]'] }", ("a", "b c", "", "d[1]")),
        ("_t = 'a'\nt = { depends-on = ['_t'] }", ("a",)),
        ("_t = 'a'\nt = [{ task = '_t' }]", ("a",)),
        ("_t = 'a'\nt = { depends_on = '_t' }", ("a",)),
    ],
)
def test_forms(tmp_path: Path, written: str, want: tuple[str, ...]) -> None:
    assert command(tmp_path, f"[tasks]\n{written}\n", "t") == TaskCommand(want, "/app", ())


def test_the_first_feature_and_the_narrowest_target_win(tmp_path: Path) -> None:
    manifest = """
[tasks]
a = "top"
b = "top"
c = "top"
[target.unix.tasks]
b = "unix"
c = "unix"
[target.linux-64.tasks]
c = "linux-64"
[target.win.tasks]
a = "win"
[feature.x.tasks]
a = "x"
d = "x"
[feature.y.target.linux.tasks]
d = "y"
e = "y"
[environments]
both = ["x", "y"]
bare = { features = ["y"], no-default-feature = true }
"""
    wanted: dict[str, dict[str, str | None]] = {
        "default": {"a": "top", "b": "unix", "c": "linux-64", "d": None},
        "both": {"a": "x", "b": "unix", "c": "linux-64", "d": "x", "e": "y"},
        "bare": {"a": None, "d": "y"},
    }
    for environment, want in wanted.items():
        for name, word in want.items():
            if word is None:
                refusal(tmp_path, manifest, name, environment=environment)
            else:
                found = command(tmp_path, manifest, name, environment=environment)
                assert found.words == (word,), (environment, name)


def test_dependencies_come_first_and_once(tmp_path: Path) -> None:
    manifest = """
[tasks]
a = "a"
b = { cmd = "b; bb", depends-on = ["a"] }
c = { cmd = "c", depends-on = ["a"] }
d = { cmd = "d", depends-on = ["b", "c", "a"] }
"""
    assert line(tmp_path, manifest, "d") == "a && (b; bb) && c && exec d"


def test_a_subshell_at_the_beginning_is_no_arithmetic(tmp_path: Path) -> None:
    manifest = """
[tasks]
a = "(echo 1; echo 2) | cat"
b = { cmd = "echo $( (echo 3) )", depends-on = ["a"] }
"""
    found = line(tmp_path, manifest, "b")
    assert found == "( (echo 1; echo 2) | cat) && (echo $( (echo 3)))"
    for shell in ("sh", "bash"):
        ran = subprocess.run([shell, "-c", found], capture_output=True, check=True)
        assert ran.stdout == b"1\n2\n3\n"


def test_a_failed_dependency_ends_it(tmp_path: Path) -> None:
    manifest = """
[tasks]
a = "exit 3"
b = { cmd = "echo never", depends-on = ["a"] }
c = { cmd = "echo $V", depends-on = ["e"] }
e = { cmd = "cd / && V=lost; true", env = { V = "lost" } }
"""
    ran = subprocess.run(
        ["sh", "-c", line(tmp_path, manifest, "b")], capture_output=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (3, b"")
    ran = subprocess.run(
        ["sh", "-c", line(tmp_path, manifest, "c")], capture_output=True, check=True
    )
    assert ran.stdout == b"\n"


def test_variables_are_set_in_order_and_expanded(tmp_path: Path) -> None:
    manifest = """
[tasks]
t = { cmd = "printenv A B C", env = { A = "1 2", B = "$A/x", C = 'say "hi" $(echo $B)' } }
u = { cmd = "a", env = { A = "{{ x }}" }, args = [{ arg = "x", default = "d" }] }
"""
    ran = subprocess.run(
        ["sh", "-c", line(tmp_path, manifest, "t")], capture_output=True, check=True
    )
    assert ran.stdout == b'1 2\n1 2/x\nsay "hi" 1 2/x\n'
    assert line(tmp_path, manifest, "u") == "export A=d; exec a"


def test_directories(tmp_path: Path) -> None:
    (tmp_path / "sub dir").mkdir()
    manifest = f"""
[tasks]
t = {{ cmd = "a", cwd = "sub dir" }}
u = {{ cmd = "b", depends-on = ["t"] }}
v = {{ cmd = "c", cwd = "./sub dir/", depends-on = ["u"] }}
w = {{ cmd = "d", cwd = "{tmp_path}/sub dir" }}
x = {{ cmd = "e", cwd = "." }}
up = {{ cmd = "f", cwd = ".." }}
gone = {{ cmd = "g", cwd = "nope" }}
"""
    assert command(tmp_path, manifest, "t") == TaskCommand(("a",), "/app/sub dir", ("sub dir",))
    assert command(tmp_path, manifest, "w").directory == "/app/sub dir"
    assert command(tmp_path, manifest, "x").directory == "/app"
    enter = "cd '/app/sub dir' || exit"
    assert line(tmp_path, manifest, "v") == f"({enter}; exec a) && b && ({enter}; exec c)"
    assert "outside the workspace" in str(refusal(tmp_path, manifest, "up"))
    assert "no directory of the workspace" in str(refusal(tmp_path, manifest, "gone"))


def test_from_anywhere(tmp_path: Path) -> None:
    found = TaskCommand(("printf", "%s %s", "a b", "c"), str(tmp_path), ())
    words = found.from_anywhere()
    ran = subprocess.run([*words, "more"], capture_output=True, check=True, cwd="/")
    assert ran.stdout == b"a b cmore "
    there = TaskCommand(("pwd",), str(tmp_path), ()).from_anywhere()
    assert subprocess.run(there, capture_output=True, check=True).stdout.decode().strip() == str(
        tmp_path
    )


ARGUMENTS = """
[tasks.greet]
cmd = "hi {{ name }} {{ mode | upper }}"
args = ["name", { arg = "mode", default = "x" }]
[tasks.pick]
cmd = "go {{ m }}"
args = [{ arg = "m", default = "a", choices = ["a", "b"] }]
[tasks.given]
cmd = "end"
depends-on = [{ task = "greet", args = ["Ann", { mode = "y" }] }]
[tasks.passed]
cmd = "end"
args = [{ arg = "n", default = "Bo" }]
depends-on = [{ task = "greet", args = ["{{ n }}"] }]
[tasks.twice]
depends-on = [{ task = "greet", args = ["A"] }, { task = "greet", args = ["B"] }]
[tasks.free]
cmd = "run"
"""


@pytest.mark.parametrize(
    ("name", "arguments", "want"),
    [
        ("greet", ["Joe"], "hi Joe X"),
        ("greet", ["Joe", "z"], "hi Joe Z"),
        ("greet", ["Joe", "--", "-v"], "hi Joe X -v"),
        ("pick", [], "go a"),
        ("pick", ["b"], "go b"),
        ("given", [], "hi Ann Y && exec end"),
        ("passed", [], "hi Bo X && exec end"),
        ("passed", ["Cy"], "hi Cy X && exec end"),
        ("twice", [], "hi A X && exec hi B X"),
        ("free", ["-x", "a b"], "run -x a b"),
    ],
)
def test_arguments(tmp_path: Path, name: str, arguments: list[str], want: str) -> None:
    words = command(tmp_path, ARGUMENTS, name, *arguments).words
    assert " ".join(words).removeprefix("/bin/sh -c ") == want


@pytest.mark.parametrize(
    ("name", "arguments", "want"),
    [
        ("greet", [], "'greet' wants a value for 'name'"),
        ("greet", ["a", "b", "c"], "'greet' takes 2 arguments, got 3"),
        ("pick", ["c"], "'m' of 'pick' is 'c', want a, b"),
    ],
)
def test_arguments_that_do_not_fit(
    tmp_path: Path, name: str, arguments: list[str], want: str
) -> None:
    error = refusal(tmp_path, ARGUMENTS, name, *arguments)
    assert want in str(error)
    assert error.obstacle == Obstacle.ARGUMENT


@pytest.mark.parametrize(
    ("template", "want"),
    [
        ("a {{ pixi.platform }} {{pixi.environment.name}}", ("a", "linux-64", "default")),
        ("a {{ pixi.manifest_path }}", ("a", "/app/pixi.toml")),
        ("a {{ pixi.is_linux | lower }}{# why #}", ("a", "true")),
        ("a {{ 'B' | lower }} {{ \" c \" | trim }}", ("a", "b", "c")),
    ],
)
def test_templates(tmp_path: Path, template: str, want: tuple[str, ...]) -> None:
    assert command(tmp_path, f"[tasks]\nt = '''{template}'''\n", "t").words == want


@pytest.mark.parametrize(
    ("written", "obstacle", "want"),
    [
        ("t = '{{ nope }}'", Obstacle.TEMPLATE, "names 'nope'"),
        ("t = '{% if a %}b{% endif %}'", Obstacle.TEMPLATE, "a statement"),
        ("t = 'a {{ pixi.version }}'", Obstacle.TEMPLATE, "the version of Pixi"),
        ("t = 'a {{ pixi.is_win }}'", Obstacle.TEMPLATE, "write pixi.is_win differently"),
        ("t = 'a {{ pixi.platform | title }}'", Obstacle.TEMPLATE, "the filter 'title'"),
        ("t = 'a {{ b'", Obstacle.TEMPLATE, "not closed"),
        ("t = 'a {{ 1 + 2 }}'", Obstacle.TEMPLATE, "more than a name"),
        ("t = 'pixi run b'", Obstacle.PIXI, "'t' calls pixi itself"),
        ("t = 'a $(pixi info)'", Obstacle.PIXI, "'t' calls pixi itself"),
        ("t = 'a &'", Obstacle.SHELL, "in the background"),
        ("t = { cmd = 'a', env = { 'A B' = '1' } }", Obstacle.SHELL, "no name of a variable"),
        ("t = { cmd = 'a', env = { A = '$(source b)' } }", Obstacle.SHELL, "has no 'source'"),
        ("t = { cmd = 'a', default-environment = 'x' }", Obstacle.ENVIRONMENT, "'x', the image"),
        ("t = [{ task = 'b', environment = 'x' }]\nb = 'b'", Obstacle.ENVIRONMENT, "'b' runs in"),
        (
            "t = { cmd = 'a', depends-on = ['u'] }\nu = { depends-on = ['t'] }",
            Obstacle.CYCLE,
            "t → u → t",
        ),
        ("t = { cmd = 'a', depends-on = ['u'] }", Obstacle.MISSING, "'t' depends on 'u'"),
        ("u = 'a'", Obstacle.MISSING, "environment 'default' has no such task"),
        ("t = { depends-on = [] }", Obstacle.EMPTY, "has a command"),
        ("t = ''", Obstacle.EMPTY, "its command is empty"),
        ("t = 3", Obstacle.FORM, "neither a text"),
        ("t = { cmd = 3 }", Obstacle.FORM, "its 'cmd' is 3"),
        ("t = { cmd = 'a', nope = 1 }", Obstacle.FORM, "a key 'nope'"),
        ("t = { cmd = 'a', depends-on = ['u'] }\nu = \"set -e\\nb\"", Obstacle.SHELL, "'u' says"),
    ],
)
def test_refused(tmp_path: Path, written: str, obstacle: Obstacle, want: str) -> None:
    error = refusal(tmp_path, f"[tasks]\n{written}\n", "t")
    assert error.obstacle == obstacle
    assert want in str(error)


def test_a_task_of_another_environment_is_pointed_at(tmp_path: Path) -> None:
    manifest = "[feature.x.tasks]\nt = 'a'\n[environments]\nx = ['x']\n"
    assert refusal(tmp_path, manifest, "t").hint == "it is a task of x: ship that with -e"
    assert command(tmp_path, manifest, "t", environment="x").words == ("a",)
    manifest = "[tasks]\nt = { cmd = 'a', default-environment = 'x' }\n[environments]\nx = []\n"
    assert command(tmp_path, manifest, "t", environment="x").words == ("a",)


def test_too_many_tasks(tmp_path: Path) -> None:
    rows = [f"t{number} = {{ cmd = 'a', depends-on = ['t{number + 1}'] }}" for number in range(300)]
    error = refusal(tmp_path, "[tasks]\n" + "\n".join([*rows, "t300 = 'a'"]), "t0")
    assert "more than 200 tasks" in str(error)


def test_what_of_the_workspace_it_names(tmp_path: Path) -> None:
    for name in ("train.py", "data/x.csv", "conf.yaml", "tool/__main__.py", "python/x", "s/run.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    manifest = """
[tasks]
t = "python train.py --data=data/x.csv --conf $PIXI_PROJECT_ROOT/conf.yaml --out new /etc/passwd .."
u = "python -m tool ."
v = { cmd = "./run.sh ../train.py $PIXI_PROJECT_ROOT/data", cwd = "s", depends-on = ["u"] }
"""
    assert command(tmp_path, manifest, "t").needs == ("train.py", "data/x.csv", "conf.yaml")
    assert command(tmp_path, manifest, "u").needs == ("tool",)
    assert command(tmp_path, manifest, "v").needs == ("tool", "s", "s/run.sh", "train.py", "data")


def test_a_clean_environment_is_told(tmp_path: Path) -> None:
    (note,) = command(tmp_path, "[tasks]\nt = { cmd = 'a', clean-env = true }\n", "t").notes
    assert note.startswith("task 't' asks for a clean environment")
