"""Jobs under a real Apptainer of Debian sid, which stands in another root filesystem: a program
called `apptainer` on PATH goes there. Our SIF is what it gets, and every option does what it says.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ..apptainer.conftest import apptainer_or_skip
from ..conftest import REPOSITORY
from .conftest import AWKWARD, ECHO, Runner
from .test_bubblewrap import PREFIX, said

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("apptainer")]

_DOOR = """\
#!{python}
import os, sys
from pathlib import Path
sys.path.insert(0, {repository!r})
from tests.apptainer.runtime import Apptainer
binds = [Path(each) for each in {binds!r}]
env = {{name: value for name, value in os.environ.items() if name.startswith("APPTAINERENV_")}}
env |= {{name: os.environ[name] for name in ("FROM_HOST",) if name in os.environ}}
done = Apptainer("root", Path({folder!r})).run(*sys.argv[1:], binds=binds, env=env)
sys.stdout.write(done.stdout)
sys.stderr.write(done.stderr)
sys.exit(done.returncode)
"""


@pytest.fixture(scope="module")
def runner(image_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    folder = tmp_path_factory.mktemp("apptainer")
    apptainer_or_skip("root", folder / "own")
    work, data = folder / "work", folder / "data"
    for each in (folder / "bin", work, data):
        each.mkdir()
    (data / "file").write_text("bound\n")
    door = folder / "bin" / "apptainer"
    binds = [str(each) for each in (work, data, image_cache)]
    door.write_text(
        _DOOR.format(
            python=sys.executable,
            repository=str(REPOSITORY),
            binds=binds,
            folder=str(folder / "own"),
        )
    )
    door.chmod(0o755)
    environment = {"PATH": str(door.parent), "FROM_HOST": "seen"}
    return Runner(image_cache, work, ("--runtime", "apptainer"), environment)


@pytest.mark.parametrize("like", [(), ("--like", "htcondor"), ("--like", "slurm")])
def test_words_and_exit_code(runner: Runner, numpy_image: str, like: tuple[str, ...]) -> None:
    code = f"{ECHO}; import numpy; sys.exit(3)"
    done = runner(numpy_image, *like, "--", "python", "-c", code, *AWKWARD)
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout) == [*AWKWARD]


@pytest.mark.parametrize(
    ("like", "shown"),
    [(None, "/root||"), ("htcondor", "{here}|{here}|"), ("slurm", "/root||seen")],
)
def test_surroundings(runner: Runner, numpy_image: str, like: str | None, shown: str) -> None:
    here, options = str(runner.directory), ["--like", like] if like else []
    script = 'pwd; echo "$HOME|$_CONDOR_SCRATCH_DIR|$FROM_HOST|$CONDA_PREFIX"; touch "$PWD"/made; '
    script += "touch /usr/made 2>/dev/null && echo writable; touch /tmp/x /var/tmp/x && echo free"
    done = runner(numpy_image, *options, "--", "sh", "-c", script)
    assert done.stdout.splitlines() == [*(here, f"{shown}|{PREFIX}".format(here=here), "free")], (
        done.stderr
    )
    (runner.directory / "made").unlink()


def test_binds_and_variables(runner: Runner, numpy_image: str) -> None:
    data = runner.directory.parent / "data"
    script = 'cat /in/file; touch /in/x 2>/dev/null || echo read-only; pwd; echo "$A|$FROM_HOST"'
    shown = said(
        *(runner, numpy_image, "--bind", f"{data}:/in:ro", "--workdir", "/in"),
        *("--env", "A=x, 'y' \"z\"", "--env", "FROM_HOST", "--", "sh", "-c", script),
    )
    assert shown.splitlines() == ["bound", "read-only", "/in", "x, 'y' \"z\"|seen"]


def test_without_a_command(runner: Runner, numpy_image: str) -> None:
    """The image's own is a shell, which ends at the end of its input."""
    assert said(runner, numpy_image) == ""


def test_a_sif(runner: Runner, numpy_image: str) -> None:
    assert said(runner, numpy_image, "--", "greet").startswith("hello world")
    (sif,) = (runner.cache / "sifs").glob("*.sif")
    assert said(runner, f"sif:{sif}", "--", "greet").startswith("hello world")
