"""Buildah builds the rendered Dockerfiles of the fixture workspaces, and the images run.

Pixi is the real one where it is on PATH, else the stand-in of `pixi_stand_in.py`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ..contract.tools import output
from .conftest import Builder

PREFIX = "/app/.pixi/envs/default"
SOURCED = ". <(sed '$d' /app/entrypoint.sh) && exec \"$@\""

WORKSPACES = {
    "numpy": (("numpy",), ("python", "-c", "import numpy; print(numpy.ones(3).sum())"), "3.0\n"),
    "another environment": (
        ("numpy", "-e", "minimal"),
        ("python", "-c", "import sys; print(sys.prefix)"),
        "/app/.pixi/envs/minimal\n",
    ),
    "pyproject": (("pyproject",), ("python", "-c", "import idna, greet; print('both')"), "both\n"),
    "gpu": (("gpu",), ("sh", "-c", "test -d $CONDA_PREFIX/conda-meta && echo there"), "there\n"),
    "rich platforms, with CUDA": (
        ("rich-platforms", "--platform", "p1"),
        ("sh", "-c", "ls $CONDA_PREFIX/conda-meta | grep -c gpu-thing"),
        "1\n",
    ),
    "rich platforms, without": (
        ("rich-platforms", "--platform", "linux-64"),
        ("sh", "-c", "ls $CONDA_PREFIX/conda-meta | grep -c gpu-thing"),
        "0\n",
    ),
}


def image(builder: Builder, words: tuple[str, ...]) -> str:
    return builder.image(builder.workspace(words[0]), *words[1:])


@pytest.mark.parametrize(("words", "command", "said"), WORKSPACES.values(), ids=WORKSPACES)
def test_builds_and_runs(
    builder: Builder, words: tuple[str, ...], command: tuple[str, ...], said: str
) -> None:
    done = builder.run(image(builder, words), *command)
    assert done.stdout == said, done.stderr


def test_sourced_without_its_last_line(builder: Builder) -> None:
    """As scripts of jobs do it, where the entrypoint is not run."""
    words = ("bash", "-c", SOURCED, "-", "python", "-c", "import numpy, sys; print(sys.prefix)")
    name = image(builder, ("numpy",))
    done = builder.run(name, *words[1:], options=["--entrypoint", words[0]])
    assert done.stdout == f"{PREFIX}\n", done.stderr


def test_config(builder: Builder) -> None:
    """The ENTRYPOINT is the script, there is a shell to start, and /app is where it starts."""
    shown = output(*builder.podman.words("inspect", image(builder, ("numpy",))))
    config = json.loads(shown)[0]["Config"]
    assert config["Entrypoint"] == ["/app/entrypoint.sh"]
    assert (config["Cmd"], config["WorkingDir"]) == (["/bin/bash"], "/app")


def test_the_final_stage_holds_no_more(builder: Builder) -> None:
    """No Pixi of the first stage, no cache, no wheel that was installed; manifest and lock."""
    found = builder.run(image(builder, ("numpy",)), "find", "/app", "-maxdepth", "2").stdout.split()
    assert sorted(found) == [
        "/app",
        "/app/.pixi",
        "/app/.pixi/.condapackageignore",
        "/app/.pixi/.gitignore",
        "/app/.pixi/envs",
        "/app/entrypoint.sh",
        "/app/pixi.lock",
        "/app/pixi.toml",
    ]
    gone = "ls -d /wheelhouse /var/cache/pixi /usr/local/bin/pixi 2>/dev/null | wc -l"
    assert builder.run(image(builder, ("numpy",)), "sh", "-c", gone).stdout == "0\n"


@pytest.fixture
def project(builder: Builder, tmp_path: Path) -> Path:
    """The minimal environment in a workspace with names that want quotes."""
    workspace = tmp_path / "a project"
    shutil.copytree(builder.data.workspace("rich-platforms"), workspace)
    (workspace / "my data").mkdir()
    (workspace / "my data" / "a table.csv").write_text("1\n")
    (workspace / "set up.sh").write_text("export FROM_SCRIPT=yes\n")
    manifest = workspace / "pixi.toml"
    manifest.write_text(manifest.read_text() + '\n[activation]\nscripts = ["set up.sh"]\n')
    (workspace / ".env").write_text("TOKEN=secret\n")
    return workspace


def test_project_files_and_names_with_spaces(builder: Builder, project: Path) -> None:
    options = ("--platform", "linux-64", "--include", "my data:/opt/the data/")
    name = builder.image(project, *options)
    words = 'cat "/opt/the data/a table.csv" && echo "$FROM_SCRIPT"'
    assert builder.run(name, "sh", "-c", words).stdout == "1\nyes\n"


def test_only_what_is_copied_goes_to_the_builder(builder: Builder, project: Path) -> None:
    """A Dockerfile that asks for more than the ignore file lets through does not build."""
    file = builder.folder / "Dockerfile.ignored"
    context = builder.render(project, file, "--platform", "linux-64")
    text = file.read_text()
    for wanted in (".env", "my data"):
        file.write_text(
            text.replace("WORKDIR /app\n", f'WORKDIR /app\nCOPY ["{wanted}", "x"]\n', 1)
        )
        done = builder.build(context, file, project, "localhost/none")
        assert done.returncode != 0
        assert wanted in done.stdout + done.stderr


def test_template_with_other_arguments(builder: Builder) -> None:
    """The two ARGs of `--as-template` choose the environment when it is built."""
    workspace = builder.workspace("numpy")
    file = builder.folder / "Dockerfile.template"
    context = builder.render(workspace, file, "--as-template")
    arguments = ("--build-arg", "ENVIRONMENT=minimal", "--build-arg", "CUDA_VERSION=12.4")
    done = builder.build(context, file, workspace, "localhost/template", *arguments)
    assert done.returncode == 0, done.stderr
    said = builder.run("localhost/template", "sh", "-c", "echo $CONDA_PREFIX").stdout
    assert said == "/app/.pixi/envs/minimal\n"


def test_too_old_a_driver_fails_the_build(builder: Builder) -> None:
    """The argument reaches Pixi, which holds it against the lock."""
    workspace = builder.workspace("gpu")
    file = builder.folder / "Dockerfile.old"
    context = builder.render(workspace, file)
    old = ("--build-arg", "CUDA_VERSION=11.8")
    done = builder.build(context, file, workspace, "localhost/none", *old)
    assert done.returncode != 0
    assert "__cuda" in done.stdout + done.stderr
