"""The hook for login shells ends no shell, not even where a site made variables readonly."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from pixi_ship.recipe.activation import Activation
from pixi_ship.recipe.scripts import LOGIN, Shell, hook

SHELLS: list[list[str]] = [
    [path, *options]
    for name, *options in (("dash",), ("bash", "--posix"), ("bash",), ("busybox", "sh"))
    if (path := shutil.which(name))
]
# What a site's /etc/profile may say before the hook is sourced.
SITE = """\
TMOUT=900
HISTSIZE=7
NOTE='two
readonly OF_THE_SCRIPT
lines'
readonly TMOUT HISTSIZE NOTE
export TMOUT NOTE
"""


def sourced(shell: Sequence[str], place: Path, site: str, activation: Activation) -> list[str]:
    """Source the hook after a site's words; what is said then."""
    profile = place / "profile"
    ours = {"OURS": "set", "LATE": "late"}
    profile.write_bytes(hook("/x", activation, ours, Shell("/bin/sh"), LOGIN))
    show = 'echo "$TMOUT|$OF_THE_SCRIPT|$OURS|$LATE|${PATH%%:*}|$HOME|$PIXI_SHIP_ACTIVE|end"'
    done = subprocess.run(
        [*shell, "-c", f"{site}\n. {profile}\n{show}"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(place)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.endswith("|end\n"), done.stderr
    return done.stdout.strip().split("|")


def activation(place: Path, script: str) -> Activation:
    path = place / "script.sh"
    path.write_text(script)
    return Activation(
        ("/x/bin",),
        {},
        scripts=(str(path),),
        before={"OURS": None},
        late=frozenset({"LATE"}),
        path_before=("/x/bin",),
    )


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize(
    "script", ["export OF_THE_SCRIPT=1", "export OF_THE_SCRIPT=1 TMOUT=3 HISTSIZE=9 NOTE=other"]
)
def test_exported_and_readonly(tmp_path: Path, shell: list[str], script: str) -> None:
    found = sourced(shell, tmp_path, SITE, activation(tmp_path, script))
    # A line of a readonly value that looks like a readonly variable may cost that one.
    assert (found[0], *found[2:5]) == ("900", "set", "late", "/x/bin")
    plain = SITE.replace("readonly OF_THE_SCRIPT\n", "")
    found = sourced(shell, tmp_path, plain, activation(tmp_path, script))
    assert (found[0], found[1]) == ("900", "1")


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize(
    "name", ["PATH", "OURS", "LATE", "PYTHONPATH", "USER", "LOGNAME", "PIXI_SHIP_ACTIVE"]
)
def test_what_we_set_is_readonly(tmp_path: Path, shell: list[str], name: str) -> None:
    site = f"{name}=${{{name}:-}}; export {name}; readonly {name}"
    found = sourced(shell, tmp_path, site, activation(tmp_path, "export OF_THE_SCRIPT=1"))
    assert found[1] == "1"


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_home_that_cannot_be_written_and_is_readonly(tmp_path: Path, shell: list[str]) -> None:
    found = sourced(shell, tmp_path, "HOME=/nowhere; readonly HOME", Activation(("/x/bin",), {}))
    assert found[5] == "/nowhere"


def test_a_script_sees_nothing_of_how_it_is_run(tmp_path: Path) -> None:
    script = 'export OF_THE_SCRIPT="$(env | grep -c pixi_ship)$#"'
    found = sourced(["sh"], tmp_path, SITE, activation(tmp_path, script))
    assert found[1] == ""  # NOTE has hidden it
    found = sourced(["sh"], tmp_path, "readonly TMOUT=1", activation(tmp_path, script))
    assert found[1] == "00"
