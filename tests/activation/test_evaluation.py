"""Scripts that do more than assign are run in a sandbox when the image is made: what they set is
in the image's variables, what depends on the surroundings is not, and none can spoil a build.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pixi_ship.activation.runner import ScriptRunner, Workroom

from ..channel.conda_package import File, Link
from ..tiny import ship
from .conftest import BASE, PREFIX, Activating

NAME = "etc/conda/activate.d/thing.sh"

TOLD = {
    "a loop": ('for x in a b; do WORDS="$WORDS$x"; done\nexport WORDS', {"WORDS": "ab"}),
    "a substitution": ('export WHERE="$(dirname "$CONDA_PREFIX")"', {"WHERE": "/app/.pixi/envs"}),
    "a condition": ("if [ -d /etc ]; then export HAS=yes; fi", {"HAS": "yes"}),
    "the architecture": ("export OS=$(uname)-$(uname -s)", {"OS": "Linux-Linux"}),
    "bash": ("a=(1 2 3); [[ ${#a[@]} == 3 ]] && export N=${#a[@]}", {"N": "3"}),
    "a default": ('export FLAGS="${FLAGS:--O2}"; :', {"FLAGS": "-O2"}),
    "spaces": ("export WORDS='a  b='\"$(echo c)\"", {"WORDS": "a  b=c"}),
    "empty": ("export NOTHING=$(:)", {"NOTHING": ""}),
    "umlauts": ("export WORD=$(printf 'ü')", {"WORD": "ü"}),
    "its variables only": ("x=1; export A=$((x + 1))", {"A": "2"}),
    "a file of the base": ("read -r A </etc/debian_version; export B=${A:+seen}", {"B": "seen"}),
}


@pytest.mark.parametrize("case", TOLD)
def test_what_a_script_sets_is_in_the_image(work: Activating, case: str) -> None:
    text, want = TOLD[case]
    work.script(text)
    made = work.made()
    assert want.items() <= made.env.items()
    assert made.warnings == []
    assert "x" not in made.env


def test_path_is_put_in_front(work: Activating) -> None:
    work.script('for d in one two; do export PATH="$CONDA_PREFIX/$d:$PATH"; done')
    usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert work.made().env["PATH"] == f"{PREFIX}/two:{PREFIX}/one:{PREFIX}/bin:{usual}"


def test_a_path_that_forgets_the_base_is_not_taken(work: Activating) -> None:
    work.script("for d in /only; do export PATH=$d OTHER=set; done")
    made = work.made()
    assert made.env["PATH"].startswith(f"{PREFIX}/bin:/usr/local/sbin:")
    assert made.env["OTHER"] == "set"
    (warning,) = made.warnings
    assert warning.startswith(f"{NAME} does not only put directories in front of PATH")


def test_what_is_taken_away_of_the_base_is_gone(work: Activating, tmp_path: Path) -> None:
    work.script("if true; then unset PYTHONHOME CONDA_SHLVL; fi; export LEFT=$(echo 1)")
    assert work.made().env["LEFT"] == "1"


UNSTEADY = {
    "home": "export A=$HOME/.cache; :",
    "tilde": "export A=~/x",
    "temporary": "export A=${TMPDIR}/x$(:)",
    "user": "export A=$(id -u)",
    "whoami": "export A=$(whoami)",
    "host": "export A=$(hostname)",
    "bash's host": "export A=$HOSTNAME$(:)",
    "kernel's host": "read -r A </proc/sys/kernel/hostname; export A",
    "kernel": "export A=$(uname -r)",
    "process": "export A=$$; :",
    "date": "export A=$(date +%Y)",
    "bash's clock": "export A=$EPOCHSECONDS; :",
    "random": "export A=$RANDOM$RANDOM; :",
    "temporary file": "export A=$(mktemp -u)",
    "processors": "export A=$(nproc)",
    "cpuinfo": "export A=$(grep -c ^processor /proc/cpuinfo)",
    "memory": "export A=$(grep MemTotal /proc/meminfo)",
    "language": "export A=$LANG; :",
    "place of a program": "export A=$(command -v date)",
}


@pytest.mark.parametrize("case", UNSTEADY)
def test_what_depends_on_the_surroundings_is_left_to_the_job(work: Activating, case: str) -> None:
    work.script(f"{UNSTEADY[case]}\nexport STEADY=$(echo yes)")
    made = work.made()
    assert "A" not in made.env
    assert made.env["STEADY"] == "yes"
    assert made.warnings == [
        f"{NAME} gives A another value under another user, host or time: not in the image's "
        "variables, the entrypoint runs it"
    ]


@pytest.mark.parametrize("text", ["A='$HOME'", 'A="$(printf "a\\nb")"', "A=\\'quoted\\'"])
def test_a_value_that_runtimes_would_change_is_left_out(work: Activating, text: str) -> None:
    work.script(f"if true; then export {text} B=kept; fi")
    made = work.made()
    assert "A" not in made.env
    assert made.env["B"] == "kept"
    (warning,) = made.warnings
    assert warning.startswith("A cannot be set in the image: a runtime would change a value")


BAD = {
    "exit": ("export A=1; exit 3", "ends the shell (status 3): it is not run at all"),
    "exit 0": ("if :; then exit; fi", "ends the shell (status 0): it is not run at all"),
    "errexit": ("set -e\nfalse\nexport A=1", "ends the shell (status 1): it is not run at all"),
    "killed": ("kill -KILL $$", "ends the shell (status 137): it is not run at all"),
    "other program": ("exec /bin/true", "ends the shell (status 0): it is not run at all"),
    "input": ("read -r A; export A", "reads what is meant for the job: it is not run at all"),
    "all input": ("A=$(cat); export A", "reads what is meant for the job: it is not run at all"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_script_is_named_and_the_others_count(work: Activating, case: str) -> None:
    text, why = BAD[case]
    work.lock(
        work.package("thing", File(NAME, text.encode())),
        work.package("zebra", File("etc/conda/activate.d/zebra.sh", b"export Z=$(echo z)\n")),
    )
    made = work.made()
    assert "A" not in made.env
    assert made.env["Z"] == "z"
    assert made.warnings == [f"{NAME} {why}"]


def test_a_script_without_end_is_stopped(work: Activating, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Workroom.__init__

    def impatient(self: Workroom, **given: object) -> None:
        real(self, **{**given, "timeout": 1.0})  # type: ignore[arg-type]

    monkeypatch.setattr(Workroom, "__init__", impatient)
    work.script("while :; do :; done")
    (warning,) = work.made().warnings
    assert warning == f"{NAME} did not end within 1 seconds: it is not run at all"


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("export A=$(echo 1)\necho hello >&2", "prints 'hello'"),
        ("export A=$(echo 1)\nprintf '\\033[1mbold\\n'", "prints '?[1mbold'"),
        ("export A=$(echo 1)\n[ -n '' ]", "ends with status 1"),
        ("export A=$(echo 1)\nno-such-program 2>/dev/null", "ends with status 127"),
    ],
)
def test_what_is_odd_is_said_and_the_variables_count(
    work: Activating, text: str, note: str
) -> None:
    work.script(text)
    made = work.made()
    assert made.env["A"] == "1"
    assert made.warnings == [f"{NAME} {note}"]


def test_scripts_build_on_one_another_in_order(work: Activating) -> None:
    work.lock(
        work.package(
            "thing",
            File("etc/conda/env_vars.d/thing.json", b'{"FIRST": "json"}'),
            File("etc/conda/activate.d/1.sh", b'export FIRST="$FIRST-$(echo one)"\n'),
            File("etc/conda/activate.d/2.sh", b'export SECOND="$FIRST-two"\n'),
            File("etc/conda/activate.d/3.sh", b'export THIRD="$SECOND-$(echo three)"\n'),
        )
    )
    env = work.made().env
    assert [env[name] for name in ("FIRST", "SECOND", "THIRD")] == [
        "json-one",
        "json-one-two",
        "json-one-two-three",
    ]


def test_a_script_sees_its_package_and_what_that_depends_on(work: Activating) -> None:
    seen = 'export SEEN="$(cd "$CONDA_PREFIX/share" && echo *)" EXE=$("$CONDA_PREFIX/bin/say")'
    say = File("bin/say", b"#!/bin/sh\necho said\n", 0o755)
    top = work.package(
        "thing", File(NAME, seen.encode()), File("share/thing", b""), depends=["middle >=1"]
    )
    middle = work.package("middle", File("share/middle", b""), say, depends=["leaf", "__glibc >=2"])
    leaf = work.package("leaf", File("share/leaf", b""), Link("share/link", "leaf"))
    other = work.package("other", File("share/other", b""))
    rows = {"thing": ["middle >=1"], "middle": ["leaf", "__glibc >=2"]}
    work.lock(top, middle, leaf, other)
    work.depend(rows)
    env = work.made().env
    assert env["SEEN"] == "leaf link middle thing"
    assert env["EXE"] == "said"


class Count:
    """How many scripts were really run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs = 0
        real = ScriptRunner._run

        def run(*words: object, **more: object) -> object:
            self.runs += 1
            return real(*words, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(ScriptRunner, "_run", run)


def test_what_was_run_once_is_known(
    work: Activating, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    count = Count(monkeypatch)
    archive = work.script(f"export A=$(echo 1)  # {tmp_path}")
    other = work.package("other", File("share/other", b"1"))
    work.lock(archive, other)
    first = work.made()
    assert count.runs == 1
    archive.unlink()
    assert work.made().ran.digest == first.ran.digest
    planned = ship("plan", *work.words()[1:5], "--cache-dir", work.cache, "--json")
    assert planned.image["digest"] == first.ran.digest
    assert count.runs == 1


def test_a_package_outside_of_the_closure_costs_nothing(
    work: Activating, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    count = Count(monkeypatch)
    archive = work.script(f"export A=$(echo 1)  # {tmp_path}")
    for text, runs in ((b"1", 1), (b"2", 1)):
        work.lock(archive, work.package("other", File("share/other", text)))
        work.made()
        assert count.runs == runs
    work.lock(work.package("thing", File(NAME, b"export A=$(echo 2)"), File("share/x", b"new")))
    work.made()
    assert count.runs == 2


def test_a_plan_runs_nothing(work: Activating, monkeypatch: pytest.MonkeyPatch) -> None:
    count = Count(monkeypatch)
    work.script(f"export A=$(echo 1)  # {time.monotonic_ns()}")
    made = work.made()
    for note in (work.cache / "notes" / "activation").iterdir():
        note.unlink()
    planned = ship(
        *("plan", "-w", work.work, "--base", f"oci:{BASE}:bookworm"),
        *("--cache-dir", work.cache, "--json"),
    )
    assert planned.image["digest"] is None
    assert all(layer["cached"] for layer in planned.image["layers"])
    assert count.runs == 1
    assert work.made().ran.digest == made.ran.digest


def test_nothing_is_left_behind(work: Activating) -> None:
    work.script("export A=$(echo 1); echo x 2>/dev/null >$CONDA_PREFIX/x; :")
    assert work.made().env["A"] == "1"
    assert list((work.cache / "prefixes").iterdir()) == []


def test_an_evaluated_image_can_be_verified(work: Activating) -> None:
    work.script("export A=$(echo 1)")
    work.made()
    place: list[str | Path] = ["--base", f"oci:{BASE}:bookworm", "-w", work.work]
    proven = ship("verify", f"oci:{work.output}:t", *place, "--cache-dir", work.cache, "--json")
    assert proven.status == 0, proven.err
