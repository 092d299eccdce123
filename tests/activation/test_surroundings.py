"""What running scripts tells is the same whoever builds, wherever and whenever, and nothing of the
machine gets in; where nothing can be run, a build says so and is what it was without.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pixi_ship.machine import Machine
from pixi_ship.platform import platform_of

from ..channel.conda_package import File, Link
from ..tiny import Ran, Tiny, lacking, ship, ship_apart
from .conftest import BASE, Activating, Made, can_sandbox

NAME = "etc/conda/activate.d/thing.sh"
CURIOUS = """\
if true; then
  export EVERYTHING="$(env | sort | tr '\\n' ' ')"
  export FILES="$(ls -a / ~ /tmp /home /root $HOME/.. 2>/dev/null | tr '\\n' ' ')"
  export WHO="$(id) $(pwd) $(umask) $(date) $TZ $(cat /proc/1/environ | tr '\\0' ' ')"
  export KEYS="$(cat /root/.netrc ~/.netrc /etc/shadow $HOST_HOME/.netrc 2>/dev/null)"
  export ASKED="$HOST_SECRET$AWS_SECRET_ACCESS_KEY"
  export STEADY="$(umask) $(stat -c %Y $CONDA_PREFIX/etc) $(ulimit -c)"
fi
"""
# A program that tells the clock, in the prefix.
BASE_DATE = b"#!/bin/bash\nTZ=UTC printf '%(%F)T' -1\n"
SECRET = "sup3r-s3cr3t-of-the-host"


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that every user of this machine may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


USERS = {"022": (), "077": ("setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups")}


def test_the_same_bytes_from_other_surroundings(open_place: Path) -> None:
    can_sandbox()
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        lacking("being another user: root and setpriv")
    digests = []
    for number, (umask, prefix) in enumerate(USERS.items()):
        root = open_place / f"{number}"
        home = root / "home"
        home.mkdir(parents=True)
        home.joinpath(".netrc").write_text(f"machine localhost login me password {SECRET}\n")
        # The lock, which is in the image, names the places of its archives.
        work = Activating(open_place / "workspace", kept=root / "cache")
        shutil.rmtree(work.output, ignore_errors=True)
        work.script(CURIOUS)
        for path in (root, *root.rglob("*"), *work.root.rglob("*"), work.root):
            path.chmod(0o777)
        host = dict.fromkeys(("HOST_SECRET", "AWS_SECRET_ACCESS_KEY"), SECRET)
        host |= {"HOME": str(home), "HOST_HOME": str(home), "TZ": f"UTC+{number}"}
        shell = ["sh", "-c", f'umask {umask}; exec "$@"', "sh", *prefix]
        made = work.made_apart(env={**host, "USER": f"user{number}"}, cwd=home, prefix=shell)
        assert made.env["STEADY"] == "0022 315532800 0"
        digests.append(made.ran.digest)
        for path in (*work.output.rglob("*"), *work.cache.joinpath("notes").rglob("*")):
            assert path.is_dir() or SECRET.encode() not in path.read_bytes()
        assert SECRET not in "".join(made.last_layer().values())
        assert SECRET not in str(made.config)
    assert digests[0] == digests[1]


def test_a_script_reads_nothing_of_this_machine(work: Activating, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    work.script(
        f"export GOT=$(cat {secret} /proc/*/root{secret} 2>/dev/null) "
        f"HERE=$(ls {tmp_path} 2>/dev/null) DONE=$(echo yes)"
    )
    env = work.made().env
    assert (env["GOT"], env["HERE"], env["DONE"]) == ("", "", "yes")


# What tells of the machine, by other ways than names on PATH and variables.
TELLING = {
    "BOOT": "cat /proc/sys/kernel/random/boot_id",
    "CMDLINE": "cat /proc/cmdline",
    "RELEASE": "cat /proc/sys/kernel/osrelease",
    "VERSION": "cat /proc/version",
    "FILES": "cat /proc/sys/fs/file-max",
    "SYSTEMS": "cat /proc/filesystems",
    "MOUNTS": "cat /proc/self/mountinfo",
    "COUNT": "wc -l </proc/mounts",
    "LIMITS": "cat /proc/self/limits",
    "HARD_FILES": "ulimit -H -n",
    "PROCESSES": "ulimit -u",
    "STACK": "ulimit -s",
    "SECONDS_OF_CPU": "ulimit -t",
    "DAY": "printf '%(%F)T' -1",
    "DATE": "/usr/bin/date +%F",
    "OTHER_DATE": "/bin/date +%F",
    "NPROC": "/usr/bin/nproc",
    "KERNEL": "/usr/bin/uname -r",
    "PAGES": "/usr/bin/getconf _PHYS_PAGES",
    "OF_THE_PREFIX": "$CONDA_PREFIX/bin/date +%F",
}
# The same for all who build on this base.
FACTS = {
    "MACHINE": ("/usr/bin/uname -m", os.uname().machine),
    "NAME": ("uname -sm", f"Linux {os.uname().machine}"),
    "MTIME": ("stat -c %Y /etc/passwd /usr/bin /etc | sort -u", "315532800"),
    "OF_APP": ("stat -c %Y /app $CONDA_PREFIX $CONDA_PREFIX/bin | sort -u", "315532800"),
    "CORE": ("ulimit -c", "0"),
}


def test_asking_the_machine_itself(work: Activating) -> None:
    asked = {**TELLING, **{name: words for name, (words, _) in FACTS.items()}}
    lines = [f'export {name}="$({words} 2>&1)"' for name, words in asked.items()]
    date = File("bin/date", BASE_DATE, 0o755)
    work.script("if true; then\n" + "\n".join(lines) + "\nfi\n", "thing", date)
    made = work.made()
    assert {name for name in TELLING if name in made.env} == set()
    assert {name: made.env.get(name) for name in FACTS} == {
        name: want for name, (_, want) in FACTS.items()
    }


def test_programs_behind_links_are_left_alone(work: Activating, tmp_path: Path) -> None:
    """Where a package's link leads to on this machine, nothing is looked for."""
    (tmp_path / "date").write_text("#!/bin/sh\n")
    work.script("export A=$(echo 1)\n", "thing", Link("bin", str(tmp_path)))
    made = work.made()
    assert (made.env["A"], made.warnings) == ("1", [])


def test_processors_that_may_be_used(work: Activating) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        lacking("two processors")
    before = os.sched_getaffinity(0)
    work.script("export MAY=$(grep Cpus_allowed: /proc/self/status)")
    assert "MAY" not in work.made().env
    assert os.sched_getaffinity(0) == before


def test_a_script_of_the_manifest_is_as_old_as_all_else(work: Activating) -> None:
    work.manifest = '\n[activation]\nscripts = ["a/b.sh"]\n'
    work.lock(work.package("thing", File("share/x", b"")))
    place = work.work / "a" / "b.sh"
    place.parent.mkdir()
    place.write_text("export AGE=$(stat -c %Y /app /app/a /app/a/b.sh | sort -u)\n")
    assert work.made().env["AGE"] == "315532800"


@pytest.mark.parametrize("kind", ["link", "pipe", "directory", "deep", "closed", "huge"])
def test_a_result_that_is_no_file_is_not_followed(
    work: Activating, tmp_path: Path, kind: str
) -> None:
    """A script may put anything where its result is read, a link to a key of ours too."""
    secret = tmp_path / "environ"
    secret.write_text(f"STOLEN={SECRET}\0")
    what = {
        "link": f"ln -s {secret} $place",
        "pipe": "mkfifo $place",
        "directory": "mkdir $place",
        "deep": "rm $place; mkdir $place; cd $place; i=0; while [ $i -lt 1200 ]; do mkdir d; "
        "cd d; i=$((i + 1)); done",
        "closed": "chmod 0 $place",
        "huge": "head -c 3000000 /dev/zero >$place",
    }[kind]
    work.script(f"place=/tmp/.pixi-ship/result/environ; {what}; kill -KILL $$")
    made = work.made()
    assert made.warnings == [f"{NAME} ends the shell (status 137): it is not run at all"]
    assert "STOLEN" not in made.env


def fallback(reason: str) -> str:
    return (
        f"{NAME} (exports A, B) does more than assign: its variables are not in the image's, the "
        f"entrypoint runs it ({reason})"
    )


SCRIPT = "export A=$(echo 1)\nexport B=2\n"


def test_on_scratch_nothing_is_run(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    package = Activating(tmp_path, kept=tmp_path / "cache").script(SCRIPT)
    tiny.lock(package)
    ran = tiny.build()
    assert ran.document["warnings"] == [fallback("the base is 'scratch', which has no shell")]


def test_a_base_without_a_shell(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    base = tiny.base()
    tiny.lock(Activating(tmp_path, kept=tmp_path / "cache").script(SCRIPT))
    ran = tiny.build("--base", f"oci:{base}:t")
    assert ran.document["warnings"] == [fallback("the base has no sh")]


def _without_bwrap(work: Activating) -> Ran:
    return ship_apart(*work.words(), env={"PATH": "/nowhere"})


def test_without_bwrap_a_build_goes_on(work: Activating) -> None:
    work.script(SCRIPT)
    evaluated = work.made()
    ran = _without_bwrap(work)
    assert ran.document["warnings"] == [fallback("there is no bwrap on this machine")]
    assert ran.digest != evaluated.ran.digest
    assert "A" not in Made(ran, work.output).env
    # Such an image is proven without running anything, too, where that could be done.
    place: list[str | Path] = ["--base", f"oci:{BASE}:bookworm", "-w", work.work]
    proven = ship("verify", f"oci:{work.output}:t", *place, "--cache-dir", work.cache)
    assert proven.status == 0, proven.err


def test_a_bwrap_that_makes_no_namespaces(work: Activating, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    tools.joinpath("bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions' >&2\nexit 1\n")
    tools.joinpath("bwrap").chmod(0o755)
    work.script(f"{SCRIPT}# {tmp_path}\n")
    ran = ship_apart(*work.words(), env={"PATH": f"{tools}:/usr/bin:/bin"})
    assert ran.document["warnings"] == [fallback(f"running {NAME}: bwrap: No permissions")]
    # What was no answer is not remembered as one.
    assert work.made().env["A"] == "1"


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        (Machine(unconfined=True), "--no-sandbox was given"),
        (
            Machine(platform=platform_of("linux-aarch64")),
            "this machine does not run programs for linux/amd64",
        ),
    ],
)
def test_machines_that_cannot(
    work: Activating, monkeypatch: pytest.MonkeyPatch, machine: Machine, reason: str
) -> None:
    monkeypatch.setattr("pixi_ship.cli.options.machine_here", lambda **given: machine)
    work.script(SCRIPT)
    assert work.made().warnings == [fallback(reason)]


def test_what_would_be_too_much_to_lay_out(
    work: Activating, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixi_ship.activation.runner._MAX_ARCHIVES", 10)
    work.script(SCRIPT, "thing", File("share/x", b"x" * 100))
    (warning,) = work.made().warnings
    assert warning == fallback("what it may look at are packages of 0 MiB")
