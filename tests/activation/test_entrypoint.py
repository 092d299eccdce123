"""The job runs full scripts as well, and comes to what the image says: once, from where the image
started, whatever shell, and without harm to the job.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pixi_ship.recipe.activation import Activation, Ran, Script, activate
from pixi_ship.recipe.scripts import Shell as RecipeShell
from pixi_ship.recipe.scripts import entrypoint

from ..channel.conda_package import File
from .conftest import PREFIX, Activating, Shell

NAME = "etc/conda/activate.d/thing.sh"


def variables(text: str) -> dict[str, str]:
    rows = (row.split("=", 1) for row in text.splitlines())
    return {row[0]: row[1] for row in rows if row[0] not in ("PWD", "_", "SHLVL", "OLDPWD")}


ADDING = """\
if true; then
  export FLAGS="${FLAGS:+$FLAGS }-O2"
  export PATH="$CONDA_PREFIX/more:$PATH"
  export TRACE="${TRACE:-}+"
fi
"""


def test_what_a_script_adds_is_added_once(work: Activating) -> None:
    work.script(ADDING)
    made = work.made()
    shell = Shell(made, work.cache)
    seen = variables(shell("env"))
    assert (seen["FLAGS"], seen["TRACE"]) == ("-O2", "+")
    assert seen["PATH"] == made.env["PATH"]
    again = variables(shell("/app/entrypoint.sh /app/entrypoint.sh env"))
    assert again == seen


def test_what_the_job_sets_is_what_a_script_adds_to(work: Activating) -> None:
    work.script(ADDING)
    shell = Shell(work.made(), work.cache)
    assert shell('echo "$FLAGS"', "--env", "FLAGS=-g") == "-g -O2"


def test_what_depends_on_the_node_is_told_by_the_node(work: Activating) -> None:
    work.script("export WHO=$(id -u):$HOME CPUS=$(nproc)")
    made = work.made()
    assert {"WHO", "CPUS"}.isdisjoint(made.env)
    seen = variables(Shell(made, work.cache)("env"))
    assert seen["WHO"].startswith(("0:", "1"))
    assert int(seen["CPUS"]) >= 1


@pytest.mark.parametrize(
    "bad",
    [
        "if [ -e /app/entrypoint.sh ]; then exit 7; fi",
        "if [ -e /app/entrypoint.sh ]; then set -e; false; fi",
        "if [ -e /app/entrypoint.sh ]; then kill -KILL $$; fi",
        "if [ -e /app/entrypoint.sh ]; then exec true; fi",
        "if [ -e /app/entrypoint.sh ]; then cat; fi",
        "if [ -e /app/entrypoint.sh ]; then echo noise; fi",
    ],
)
def test_a_script_that_fails_on_the_node_does_not_end_the_job(work: Activating, bad: str) -> None:
    work.lock(
        work.package("thing", File(NAME, f"{bad}\nexport A=$(echo a)\n".encode())),
        work.package("zebra", File("etc/conda/activate.d/zebra.sh", b"export Z=$(echo z)\n")),
    )
    made = work.made()
    assert (made.env["A"], made.env["Z"]) == ("a", "z")
    assert made.warnings == []
    seen = Shell(made, work.cache)('echo "$A $Z"; cat', stdin="for the job\n")
    assert seen == "a z\nfor the job"


def test_what_ended_the_shell_when_built_is_not_run_by_the_job(work: Activating) -> None:
    work.script("if true; then export A=1; exit 3; fi")
    made = work.made()
    assert NAME not in made.last_layer()["app/entrypoint.sh"]


def test_the_manifest_has_the_last_word(work: Activating) -> None:
    work.manifest = '\n[activation.env]\nA = "manifest of $B"\nC = "plain"\n'
    work.script("for x in 1; do export A=script B=script C=script; done")
    made = work.made()
    assert (made.env["A"], made.env["C"]) == ("manifest of script", "plain")
    seen = variables(Shell(made, work.cache)("env"))
    assert (seen["A"], seen["B"], seen["C"]) == ("manifest of script", "script", "plain")


def test_login_shells_come_to_the_same(work: Activating) -> None:
    work.script(ADDING)
    made = work.made()
    shell = Shell(made, work.cache)
    assert shell("bash -lc 'echo $FLAGS $TRACE'") == "-O2 +"
    assert shell("env -i bash -lc 'echo $FLAGS $TRACE'") == "-O2 +"
    first = shell("env -i bash -lc 'echo $PATH'").split(":")
    assert first[:2] == [f"{PREFIX}/more", f"{PREFIX}/bin"]


AWKWARD = ("it's", 'a "quoted" word', "$HOME `id` \\", "two\nlines", "tab\there", "*", " é→ ", "-n")


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize("reader", ["sh", "bash"])
@pytest.mark.parametrize("value", AWKWARD)
def test_values_survive_the_way_out_of_a_script(
    tmp_path: Path, shell: str, reader: str, value: str
) -> None:
    script = tmp_path / "script.sh"
    script.write_text("export AWKWARD\n:")
    active = Activation(("/x/bin",), {}, scripts=(str(script),), path_before=("/x/bin",))
    text = entrypoint("/x", active, {}, RecipeShell(shell))
    done = subprocess.run(
        [reader, "-c", text.decode(), "entry", "/usr/bin/printenv", "AWKWARD"],
        env={"AWKWARD": value, "PATH": "/usr/bin:/bin", "HOME": "/tmp", "USER": "u"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{value}\n"


def test_without_scripts_nothing_is_sourced() -> None:
    found = activate(
        "/p", {NAME: "export A=1\n"}, {}, base_path="/usr/bin", manifest_env={"B": "$A-2"}
    )
    text = entrypoint("/p", found, found.variables, RecipeShell("/bin/sh")).decode()
    assert found.variables == {"A": "1", "B": "1-2"}
    assert "eval" not in text


def test_a_static_script_after_a_full_one_has_the_last_word() -> None:
    def run(script: Script, before: object) -> Ran:
        return Ran({"A": "full", "B": "full"})

    files = {
        "etc/conda/activate.d/1.sh": "export A=static\n",
        "etc/conda/activate.d/2.sh": "for x in 1; do export A=full B=full; done\n",
        "etc/conda/activate.d/3.sh": "export B=static\n",
    }
    found = activate("/p", files, {}, base_path="/usr/bin", manifest_env={}, run=run)
    assert found.variables == {"A": "full", "B": "static"}
    assert found.before == {"A": "static", "B": None}
    assert found.late == {"B"}
