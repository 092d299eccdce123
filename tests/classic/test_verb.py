"""`render dockerfile`, `apptainer` and `ci`: what is written where, and what is refused.

Nothing is built, and no registry is asked.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ..conftest import TestData
from .conftest import render, with_wheels

Edit = Callable[[str], str]


@pytest.fixture
def numpy(channel_data: TestData, tmp_path: Path) -> Path:
    """A workspace with wheels beside it."""
    return with_wheels(channel_data, "numpy", tmp_path, "../wheels")


@pytest.fixture
def plain(channel_data: TestData, tmp_path: Path) -> Path:
    """A workspace of conda packages alone."""
    workspace = tmp_path / "plain"
    shutil.copytree(channel_data.workspace("rich-platforms"), workspace)
    return workspace


def edit(path: Path, change: Edit) -> None:
    path.write_text(change(path.read_text()))


def test_stdout_is_the_dockerfile(numpy: Path) -> None:
    ran = render("dockerfile", "-w", numpy)
    assert ran.status == 0, ran.err
    assert ran.out.startswith("# The environment default of the workspace numpy.")
    assert ran.out.endswith('CMD ["/bin/bash"]\n')
    assert "the lock names files of this machine" in ran.err


def test_files_beside_each_other(numpy: Path, tmp_path: Path) -> None:
    """The ignore file is the Dockerfile's alone; one that the workspace has stays as it is."""
    (numpy / ".dockerignore").write_text("mine\n")
    ran = render("dockerfile", "-w", numpy, "--to", numpy)
    assert ran.status == 0, ran.err
    assert (numpy / "Dockerfile.dockerignore").read_text().startswith("*\n!numpy/pixi.toml\n")
    assert (numpy / ".dockerignore").read_text() == "mine\n"
    assert "docker build --platform linux/amd64 --file Dockerfile" in ran.err
    render("dockerfile", "-w", numpy, "--to", tmp_path / "new" / "gpu.Dockerfile")
    made = {each.name for each in (tmp_path / "new").iterdir()}
    assert made == {"gpu.Dockerfile", "gpu.Dockerfile.dockerignore"}


def test_json(numpy: Path) -> None:
    document = render("dockerfile", "-w", numpy, "--json").document
    assert [each["name"] for each in document["files"]] == ["Dockerfile", "Dockerfile.dockerignore"]
    assert document["command"][-1] == ".."
    assert (document["target"], document["platform"]) == ("dockerfile", "linux/amd64")
    assert render("apptainer", "-w", numpy, "--json").document["command"][:2] == [
        "apptainer",
        "build",
    ]


def test_values_of_the_lock(channel_data: TestData) -> None:
    """The driver that the lock asks for, unless a newer one is named; none where none is wanted."""
    gpu = channel_data.workspace("gpu")
    assert 'ARG CUDA_VERSION="12"\n' in render("dockerfile", "-w", gpu).out
    newer = render("dockerfile", "-w", gpu, "--cuda", "12.9")
    assert 'ARG CUDA_VERSION="12.9"\n' in newer.out
    assert "    CUDA_VERSION=12.9\n" in render("apptainer", "-w", gpu, "--cuda", "12.9").out
    older = render("dockerfile", "-w", gpu, "--cuda", "11.8")
    assert (older.status, "11.8" in older.err) == (1, True)
    rich = channel_data.workspace("rich-platforms")
    assert "CUDA" not in render("dockerfile", "-w", rich, "--platform", "linux-64").out


def test_rich_platforms_are_named_as_the_manifest_does(channel_data: TestData) -> None:
    """The lock's p1 is nothing that Pixi would know; pixi-ship in a pipeline wants just that."""
    place = ("-w", channel_data.workspace("rich-platforms"), "--platform", "p1")
    assert "--platform cuda-linux-64\n" in render("dockerfile", *place).out
    assert "--platform p1 " in render("ci", *place).out


def test_as_template(numpy: Path) -> None:
    ran = render("dockerfile", "-w", numpy, "--as-template")
    assert 'ARG CUDA_VERSION="12.9"\nARG ENVIRONMENT="default"\n' in ran.out
    for given in (("-e", "minimal"), ("--cuda", "12")):
        refused = render("dockerfile", "-w", numpy, "--as-template", *given)
        assert (refused.status, "leaves" in refused.err) == (2, True)


def test_the_project_itself_as_a_dependency(plain: Path) -> None:
    """Its files go along by name, without hidden ones and what was rendered; editable ones stay."""
    (plain / "src").mkdir()
    (plain / ".env").write_text("TOKEN=x\n")
    for name in ("README.md", "Dockerfile", "old.sif"):
        (plain / name).touch()
    edit(
        plain / "pixi.toml",
        lambda text: text + '\n[pypi-dependencies]\nplain = { path = ".", editable = true }\n',
    )
    edit(
        plain / "pixi.lock",
        lambda text: (
            text.replace("      p1:\n", "      - pypi: ./\n      p1:\n", 1)
            + "- pypi: ./\n  name: plain\n  version: 0.1.0\n"
        ),
    )
    ran = render("dockerfile", "-w", plain, "--platform", "linux-64")
    assert ran.status == 0, ran.err
    for name in ("README.md", "src"):
        assert f'COPY ["{name}", "/app/{name}"]\n' in ran.out
        assert f'COPY --from=build ["/app/{name}", "/app/{name}"]\n' in ran.out
    assert not any(word in ran.out for word in (".env", "old.sif", '"Dockerfile"'))


def test_scripts_that_activate(plain: Path) -> None:
    """They are needed where the hook is written, and where it runs."""
    (plain / "set up.sh").touch()
    edit(plain / "pixi.toml", lambda text: text + '\n[activation]\nscripts = ["set up.sh"]\n')
    out = render("dockerfile", "-w", plain, "--platform", "linux-64").out
    assert 'COPY ["set up.sh", "/app/set up.sh"]\n' in out
    assert 'COPY --from=build ["/app/set up.sh", "/app/set up.sh"]\n' in out


def _two_up(workspace: Path) -> None:
    edit(workspace / "pixi.lock", lambda text: text.replace("../wheels", "../../wheels"))
    shutil.copytree(workspace.parent / "wheels", workspace.parents[1] / "wheels")


def _to_lib(workspace: Path) -> None:
    edit(workspace / "pixi.lock", lambda text: text.replace("../wheels", "../lib"))
    (workspace.parent / "wheels").rename(workspace.parent / "lib")


def _gone(workspace: Path) -> None:
    shutil.rmtree(workspace.parent / "wheels")


def _odd(workspace: Path) -> None:
    edit(workspace / "pixi.lock", lambda text: text.replace("../wheels", "../$wheels"))
    (workspace.parent / "wheels").rename(workspace.parent / "$wheels")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_two_up, "above the root"),
        (_to_lib, "is the base's"),
        (_gone, "not there"),
        (_odd, "$wheels"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_locks_that_cannot_be_said(numpy: Path, change: Callable[[Path], None], words: str) -> None:
    change(numpy)
    for target in ("dockerfile", "apptainer"):
        ran = render(target, "-w", numpy, "--to", numpy / "made")
        assert ran.status in (1, 2)
        assert words in ran.err
        assert not (numpy / "made").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--base", "scratch"), "only an image in a registry"),
        (("--base", "oci:layout"), "only an image in a registry"),
        (("--pixi-image", "sif:a.sif"), "only an image in a registry"),
        (("--include", "nothing"), "no file or directory"),
        (("--include", "*.py"), "no file or directory"),
        (("--include", "../wheels"), "outside the workspace"),
        (("--include", "train.py:/etc/profile.d/$(id)"), "gives a meaning"),
        (("--include", "train.py:.pixi/envs/x"), "holds the environment"),
        (("-e", "none"), "not in"),
        (("--cuda", '12"\nRUN id'), "CUDA"),
    ],
)
def test_words_that_cannot_be_said(numpy: Path, options: tuple[str, ...], words: str) -> None:
    if "--cuda" in options:
        # Where nothing wants a driver, none is rendered.
        assert "RUN id" not in render("dockerfile", "-w", numpy, *options).out
        return
    ran = render("dockerfile", "-w", numpy, *options)
    assert (ran.status != 0, words in ran.err, ran.out) == (True, True, "")


def test_versions_are_numbers(channel_data: TestData) -> None:
    odd = render("dockerfile", "-w", channel_data.workspace("gpu"), "--cuda", '12"\nRUN id')
    assert (odd.status != 0, odd.out) == (True, "")


def test_ci(numpy: Path, tmp_path: Path) -> None:
    """In a repository its paths are the repository's."""
    (tmp_path / ".git").mkdir()
    ran = render("ci", "-w", numpy, "--to", tmp_path / ".github" / "workflows" / "image.yaml")
    assert ran.status == 0, ran.err
    document = yaml.safe_load((tmp_path / ".github/workflows/image.yaml").read_text())
    assert document["on"]["push"]["paths"][0] == "numpy/pixi.toml"
    assert "--workspace numpy" in json.dumps(document)
    named = render("ci", "-w", numpy, "--forge", "gitlab", "--image", "docker://quay.io/me/fit")
    assert yaml.safe_load(named.out)["build-image"]["variables"]["IMAGE"] == "quay.io/me/fit"


@pytest.mark.parametrize("image", ["docker://quay.io/me/fit:1", "oci:layout", "sif:a.sif"])
def test_ci_wants_a_repository(numpy: Path, image: str) -> None:
    ran = render("ci", "-w", numpy, "--image", image)
    assert (ran.status, "is no repository" in ran.err) == (2, True)


def test_ci_says_what_to_render_first(plain: Path) -> None:
    words = ("-w", plain, "--platform", "linux-64", "--classic", "dockerfile", "--json")
    command = render("ci", *words).document["command"]
    assert command[:4] == ["pixi", "ship", "render", "dockerfile"]


def test_a_script_that_is_not_there(plain: Path) -> None:
    edit(plain / "pixi.toml", lambda text: text + '\n[activation]\nscripts = ["gone.sh"]\n')
    ran = render("dockerfile", "-w", plain, "--platform", "linux-64")
    assert (ran.status, "'gone.sh', which is not there" in ran.err) == (1, True)
    assert "take it out of the manifest" in ran.err


def test_git_dependencies_are_named(plain: Path) -> None:
    """Without what the address has of a login."""
    address = "git+https://me:secret@example.org/tide?rev=main#" + "a" * 40
    edit(
        plain / "pixi.lock",
        lambda text: (
            text.replace("      p1:\n", f"      - pypi: {address}\n      p1:\n", 1)
            + f"- pypi: {address}\n  name: tide\n  version: 0.1.0\n"
        ),
    )
    ran = render("dockerfile", "-w", plain, "--platform", "linux-64")
    assert ran.status == 0, ran.err
    assert "tide comes from git" in ran.err
    assert "secret" not in ran.out + ran.err
