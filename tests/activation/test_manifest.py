"""``[activation]`` of the manifest: variables and scripts, per feature and target, in Pixi's order;
the scripts are shipped, run when the image is made, and run by the job.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pixi_ship.workspace import read_workspace

from ..channel.conda_package import File
from ..tiny import Tiny
from .conftest import Activating, Shell

FEATURES = """
[workspace]
name = "order"
channels = []
platforms = ["linux-64"]

[activation]
scripts = ["default.sh"]
env = { A = "default", D = "default" }

[target.linux.activation]
scripts = ["linux.sh"]
env = { A = "linux" }

[target.linux-64.activation]
env = { A = "linux-64" }

[feature.one.activation]
scripts = ["one.sh", "more.sh"]
env = { A = "one", B = "one" }

[feature.two.activation]
env = { B = "two", C = "two" }

[feature.none.activation]
scripts = ["never.sh"]

[feature.none.target.unix.activation]
scripts = []

[environments]
all = ["one", "two", "none"]
"""
TARGETS = ("linux-64", "linux", "unix")


def test_pixis_order(tmp_path: Path) -> None:
    path = tmp_path / "pixi.toml"
    path.write_text(FEATURES)
    workspace = read_workspace(path)
    # Of a feature the narrowest target alone; features one after the other.
    assert workspace.activation_scripts("all", TARGETS) == ("one.sh", "more.sh", "linux.sh")
    assert workspace.activation_scripts("default", ("win-64", "win")) == ("default.sh",)
    # Of variables the first feature that names one, in it the narrowest target.
    env = {"A": "one", "B": "one", "C": "two", "D": "default"}
    assert workspace.activation_env("all", TARGETS) == env
    assert workspace.activation_env("default", TARGETS)["A"] == "linux-64"


def test_scripts_are_shipped_and_run(work: Activating) -> None:
    work.manifest = """
[activation]
scripts = ["scripts/setup.sh", "scripts/more.sh", "windows.bat"]
env = { LAST = "$MORE!" }
"""
    place = work.work / "scripts"
    place.mkdir()
    place.joinpath("setup.sh").write_text("for x in 1; do export SETUP=$THING-setup; done\n")
    place.joinpath("more.sh").write_text('. "$PIXI_PROJECT_ROOT/scripts/none" 2>/dev/null\n')
    place.joinpath("more.sh").write_text('export MORE="$SETUP $(ls $CONDA_PREFIX/share)"\n')
    thing = File("etc/conda/activate.d/thing.sh", b"export THING=thing\n")
    work.lock(work.package("thing", thing, File("share/other", b"")))
    made = work.made()
    want = {"THING": "thing", "SETUP": "thing-setup", "MORE": "thing-setup other"}
    assert {**want, "LAST": "thing-setup other!"}.items() <= made.env.items()
    assert made.warnings == []
    files = made.last_layer()
    assert files["app/scripts/setup.sh"] == place.joinpath("setup.sh").read_text()
    assert not [path for path in files if path.endswith(".bat")]
    seen = Shell(made, work.cache)('echo "$SETUP, $MORE, $LAST"')
    assert seen == "thing-setup, thing-setup other, thing-setup other!"


def test_a_changed_script_is_run_again(work: Activating) -> None:
    work.manifest = '\n[activation]\nscripts = ["setup.sh"]\n'
    work.script("export THING=thing\n")
    for value in ("one", "two"):
        work.work.joinpath("setup.sh").write_text(f"export SETUP=$(echo {value})\n")
        assert work.made().env["SETUP"] == value


def _nothing(root: Path) -> None:
    """The name alone is at fault."""


def _outside(root: Path) -> None:
    root.parent.joinpath("outside.sh").write_text("export A=1\n")
    root.joinpath("link.sh").symlink_to("../outside.sh")


def _pipe(root: Path) -> None:
    os.mkfifo(root / "pipe.sh")


def _large(root: Path) -> None:
    root.joinpath("large.sh").write_bytes(b"#" * ((1 << 20) + 1))


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing.sh": (_nothing, "no such file or directory"),
    "link.sh": (_outside, "it leads out of the workspace"),
    "../outside.sh": (_outside, "it is not a path below the workspace"),
    "/etc/profile": (_nothing, "it is not a path below the workspace"),
    "pipe.sh": (_pipe, "it is no regular file"),
    "large.sh": (_large, "it has more than 1 MiB"),
    "entrypoint.sh": (_nothing, "an image has a file of its own at /app/entrypoint.sh"),
    ".pixi/x.sh": (_nothing, "an image has a file of its own at /app/.pixi/x.sh"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_script_that_cannot_be_shipped(tmp_path: Path, name: str) -> None:
    prepare, why = REFUSED[name]
    tiny = Tiny(tmp_path, manifest=f'\n[activation]\nscripts = ["{name}"]\n')
    tiny.lock(tiny.good())
    prepare(tiny.work)
    tiny.refused(
        f"error: reading the manifest's activation script {name!r}: {why}",
        "  hint: correct 'scripts' in [activation] of the manifest",
    )
    # Nothing was fetched or made for it.
    assert not tiny.cache.exists()
