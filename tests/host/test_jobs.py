"""Jobs by the command line on a login node behind a real sshd: submitted, followed, fetched.

Nothing of the node's files is read by the tool but over SSH. A connection is cut where it hurts,
and the same words go on afterwards.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest

from ..tiny import Ran, ship, ship_apart
from .cluster import NAME, SLURM, SYSTEM, Cluster, eventually, script_words
from .test_connection import WORDS


class Person:
    """Somebody who runs the tool here, in a directory of their own."""

    def __init__(self, cluster: Cluster, work: Path, sif: Path) -> None:
        self.cluster, self.work, self.sif = cluster, work, sif

    def run(self, *words: str | Path) -> Ran:
        if words[0] == "logs":  # bytes, which no redirected stdout of this process takes
            return ship_apart(*words, env=self.cluster.environment, cwd=self.work)
        with pytest.MonkeyPatch.context() as patch, chdir(self.work):
            for name, value in self.cluster.environment.items():
                patch.setenv(name, value)
            return ship(*words)

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "pixi_ship", *map(str, words)],
            env={**os.environ, **self.cluster.environment},
            cwd=self.work,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def tries(self, *command: str, options: tuple[str, ...] = (), scheduler: str = "slurm") -> Ran:
        to = ("submit", scheduler, f"sif:{self.sif}", "--host", NAME)
        return self.run(*to, *options, "--", *command)

    def submit(self, *command: str, options: tuple[str, ...] = ()) -> Path:
        """The job's directory here."""
        done = self.tries(*command, options=options)
        assert done.status == 0, done.err
        return Path(done.out.strip())

    def record(self, job: Path) -> dict[str, object]:
        found: dict[str, object] = json.loads((job / "job.json").read_text())
        return found


@pytest.fixture
def person(cluster: Cluster, tmp_path: Path, sif: Path) -> Person:
    return Person(cluster, tmp_path, sif)


def test_a_whole_story(person: Person) -> None:
    cluster = person.cluster
    (person.work / "in put.txt").write_text("3 4\n")
    code = "a, b = open('in put.txt').read().split(); open('sum', 'w').write(str(int(a) + int(b)))"
    job = person.submit(
        *("python3", "-c", f"{code}; print('said')"),
        options=("--input", "in put.txt", "--output", "sum"),
    )
    there = cluster.jobs / "fit-1"
    want = {"host": NAME, "directory": str(there), "inputs": ["in put.txt"]}
    assert person.record(job)["there"] == want
    assert str(there / ".inputs" / "in put.txt") in (job / "fit.sbatch").read_text()
    assert person.run("wait", job).status == 0
    assert person.run("status", job, "--json").document["tasks"][0]["exit_code"] == 0
    assert person.run("logs", job).out == "said\n"
    assert not (job / "sum").exists(), "only fetch brings what may be large"
    fetched = person.run("fetch", job)
    assert (fetched.status, fetched.out.strip()) == (0, str(job))
    assert (job / "sum").read_text() == "7"
    assert (job / "stdout.txt").read_text() == "said\n"
    assert not (job / "in put.txt").exists()


def test_json(person: Person) -> None:
    options = ("--json", "--remote-jobs", str(person.cluster.home / "my jobs"))
    refused = person.tries("true", options=options)
    assert "cannot be where Slurm writes" in refused.err
    assert not (person.work / "jobs" / "fit-1").exists()
    assert person.cluster.called("ssh") == [], "nobody is asked for a password in vain"
    options = ("--json", "--remote-jobs", "~/below/here/")
    document = person.tries("true", options=options).document
    there = str(person.cluster.home / "below" / "here" / "fit-1")
    assert (document["host"], document["remote_directory"]) == (NAME, there)
    status = person.run("status", document["directory"], "--json").document
    assert (status["host"], status["remote_directory"]) == (NAME, there)


def test_words_arrive_unchanged(person: Person) -> None:
    job = person.submit(*script_words(WORDS))
    assert person.run("wait", job).status == 0
    assert json.loads(person.run("logs", job).out) == WORDS


def test_a_job_that_fails(person: Person) -> None:
    job = person.submit("sh", "-c", "echo why >&2; exit 3")
    assert person.run("wait", job).status == 3
    assert person.run("logs", "--stderr", job).out == "why\n"


def test_the_log_is_followed_as_it_grows(person: Person) -> None:
    """And is not copied whole each time it is looked at."""
    more = person.cluster.state / "more"
    wait = f"echo one; until [ -e {more} ]; do sleep 0.05; done; echo two"
    job = person.submit("sh", "-c", wait)
    with person.start("logs", "--follow", job) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "one\n"
        more.touch()
        assert follower.stdout.read() == "two\n"
        assert follower.wait() == 0
    assert not (job / "stdout.txt").exists()


def test_cancel(person: Person) -> None:
    job = person.submit("sleep", "1000")
    assert person.run("status", job, "--json").document["tasks"][0]["state"] == "running"
    assert person.run("cancel", job).status == 0
    waited = person.run("wait", job, "--json")
    assert waited.status != 0
    assert json.loads(waited.out)["tasks"][0]["state"] == "cancelled"


def test_an_image_is_copied_once(person: Person) -> None:
    person.submit("true")
    digest = hashlib.sha256(person.sif.read_bytes()).hexdigest()
    images = person.cluster.jobs / "images"
    (found,) = images.iterdir()
    assert (found.name, found.read_bytes()) == (f"sha256-{digest}.sif", person.sif.read_bytes())
    before = found.stat()
    job = person.submit("true")
    assert job.name == "fit-2"
    assert [each.stat().st_ino for each in images.iterdir()] == [before.st_ino]
    sent = [line for line in person.cluster.called("rsync") if str(person.sif) in line]
    assert len(sent) == 1


def test_a_copy_of_an_image_that_was_cut_off_goes_on(person: Person) -> None:
    data = person.sif.read_bytes()
    images = person.cluster.jobs / "images"
    images.mkdir(parents=True)
    digest = hashlib.sha256(data).hexdigest()
    (images / f".sha256-{digest}.sif.part").write_bytes(data[: len(data) // 2])
    person.submit("true")
    (found,) = images.iterdir()
    assert found.read_bytes() == data


def test_an_image_that_came_damaged(person: Person) -> None:
    person.cluster.add("sha256sum", f"cat >/dev/null; echo '{'0' * 64}  -'\n")
    done = person.tries("true")
    assert done.status == 1
    assert "copying" in done.err
    assert "it is not sha256:" in done.err
    assert list((person.cluster.jobs / "images").iterdir()) == []
    assert list((person.work / "jobs").iterdir()) == []
    assert person.cluster.calls("sbatch") == []


def test_another_copy_of_an_image_is_cut_off_while_this_one_is_read(person: Person) -> None:
    """rsync leaves the part of it by the same name, and that must not become the image."""
    data = person.sif.read_bytes()
    images = person.cluster.jobs / "images"
    digest = hashlib.sha256(data).hexdigest()
    part = images / f".sha256-{digest}.sif.part"
    person.cluster.add(
        "sha256sum",
        f"/usr/bin/sha256sum; head -c 100 {part} >{part}.new; mv {part}.new {part}\n",
    )
    done = person.tries("true")
    assert (done.status, "another process copies it too" in done.err) == (1, True)
    assert [path.name for path in images.iterdir()] == [part.name]
    (person.cluster.programs / "sha256sum").unlink()
    person.submit("true")
    (found,) = images.iterdir()
    assert found.read_bytes() == data


def test_the_answer_to_a_submission_is_lost(person: Person) -> None:
    """The scheduler has taken the job: it must be found again, and not be submitted twice."""
    cluster = person.cluster
    (cluster.state / "slow").touch()
    answer = cluster.jobs / "fit-1" / ".submitted"
    to = ("submit", "slurm", f"sif:{person.sif}", "--host", NAME, "--", "echo", "ran")
    with person.start(*to) as submitting:
        eventually(lambda: answer.exists() and answer.read_text())
        assert cluster.cut()
        _, complaints = submitting.communicate(timeout=60)
    assert submitting.returncode == 1
    assert f"the connection to {NAME} broke" in complaints
    assert "Traceback" not in complaints
    job = person.work / "jobs" / "fit-1"
    assert person.record(job)["id"] == ""
    assert person.run("wait", job).status == 0
    assert person.record(job)["id"] == "12"
    assert person.run("logs", job).out == "ran\n"
    assert len(cluster.calls("sbatch")) == 1


def test_the_scheduler_has_not_answered_yet(person: Person) -> None:
    """Who is told to submit again would have the job twice."""
    cluster = person.cluster
    go = cluster.state / "go"
    cluster.add(
        "sbatch", f"touch {cluster.state}/asked\nuntil [ -e {go} ]; do sleep 0.05; done\necho 12\n"
    )
    to = ("submit", "slurm", f"sif:{person.sif}", "--host", NAME, "--", "true")
    with person.start(*to) as submitting:
        eventually((cluster.state / "asked").exists)
        submitting.kill()
    job = person.work / "jobs" / "fit-1"
    status = person.run("status", job)
    assert (status.status, "not submitted" in status.err) == (1, False)
    assert f"error: the scheduler has not yet said whether it takes the job in {job}" in status.err
    go.touch()
    eventually(lambda: person.run("status", job).status == 0)
    assert person.record(job)["id"] == "12"
    assert len(cluster.calls("sbatch")) == 1


def test_a_job_that_the_scheduler_refused(person: Person) -> None:
    person.cluster.add("sbatch", "echo 'invalid partition' >&2; exit 1\n")
    done = person.tries("true")
    assert f"sbatch on {NAME} failed with status 1: invalid partition" in done.err
    job = person.work / "jobs" / "fit-1"
    assert (job / "fit.sbatch").exists(), "for who wants to see why"
    status = person.run("status", job)
    assert (status.status, status.err.splitlines()[0]) == (
        1,
        f"error: the job in {job} was not submitted",
    )


def test_wait_outlives_the_connection(person: Person) -> None:
    """Its laptop sleeps, its network changes, the login node is restarted."""
    cluster = person.cluster
    end = cluster.state / "end"
    job = person.submit("sh", "-c", f"until [ -e {end} ]; do sleep 0.05; done; exit 3")
    with person.start("wait", job) as waiting:
        eventually(lambda: len(cluster.calls("squeue")) > 1)  # the first question is answered
        cluster.stop()
        assert waiting.stderr is not None
        assert "asking again" in waiting.stderr.readline()
        end.touch()
        cluster.start()
        out, complaints = waiting.communicate(timeout=60)
    assert waiting.returncode == 3, complaints
    assert "1 failed" in out


def test_wait_outlives_a_controller_that_is_started_anew(person: Person) -> None:
    """A scheduler that does not answer has not said that the job is gone."""
    cluster = person.cluster
    silent, end = cluster.state / "silent", cluster.state / "end"
    refuse = f"if [ -e {silent} ]; then echo 'Unable to contact slurm controller' >&2; exit 1; fi\n"
    cluster.add("squeue", refuse + SLURM["squeue"])
    job = person.submit("sh", "-c", f"until [ -e {end} ]; do sleep 0.05; done; exit 3")
    with person.start("wait", job) as waiting:
        eventually(lambda: len(cluster.calls("squeue")) > 1)
        silent.touch()
        assert waiting.stderr is not None
        assert "Unable to contact slurm controller; asking again" in waiting.stderr.readline()
        status = person.run("status", job)
        assert (status.status, "lost" in status.out) == (1, False)
        silent.unlink()
        end.touch()
        out, complaints = waiting.communicate(timeout=60)
    assert waiting.returncode == 3, complaints
    assert "1 failed" in out


def test_wait_does_not_ask_again_where_nobody_answered_at_all(person: Person) -> None:
    job = person.submit("true")
    person.cluster.stop()
    done = person.run("wait", job)
    assert (done.status, "asking again" in done.err) == (1, False)
    assert f"connecting to {NAME}" in done.err
    assert json.loads((job / "job.json").read_text())["id"] == "12"


def test_no_rsync_there(stopped: Cluster, tmp_path: Path, sif: Path) -> None:
    for name in ("sh", "mkdir", "dirname", "cat"):
        (stopped.programs / name).symlink_to(f"/bin/{name}")
    stopped.start(path=str(stopped.programs))
    person = Person(stopped, tmp_path, sif)
    done = person.tries("true")
    assert f"there is no rsync on {NAME}" in done.err
    assert list((tmp_path / "jobs").iterdir()) == []
    assert not stopped.jobs.exists()


def test_a_login_node_without_the_scheduler(stopped: Cluster, tmp_path: Path, sif: Path) -> None:
    stopped.start(path=SYSTEM)
    done = Person(stopped, tmp_path, sif).tries("true")
    assert f"error: there is no sbatch on {NAME}" in done.err


def test_a_directory_that_cannot_be_made(person: Person) -> None:
    (person.cluster.home / "file").touch()
    done = person.tries("true", options=("--remote-jobs", "file/jobs"))
    assert f"making the job's directory in file/jobs on {NAME}: mkdir:" in done.err
    assert "--remote-jobs" in done.err


def test_nothing_secret_goes_there(person: Person) -> None:
    """Neither logins nor variables of the shell that submits; ssh's agent stays here."""
    (person.work / "auth.json").write_text('{"auths": {"r.example": {"auth": "c2VjcmV0"}}}')
    environment = {**person.cluster.environment, "REGISTRY_AUTH_FILE": "auth.json", "TOKEN": "s3cr"}
    to = ("submit", "slurm", f"sif:{person.sif}", "--host", NAME, "--", "env")
    done = ship_apart(*to, env=environment, cwd=person.work)
    assert done.status == 0, done.err
    job = Path(done.out.strip())
    assert person.run("wait", job).status == 0
    there = [path for path in person.cluster.jobs.rglob("*") if path.suffix != ".sif"]
    texts = [path.read_text() for path in there if path.is_file()]
    assert len(texts) >= 3
    assert not [text for text in texts if "c2VjcmV0" in text or "s3cr" in text]
    assert not [text for text in texts if "SSH_AUTH_SOCK" in text]


CONDOR = """\
[ "$1" = -terse ] || exit 1
log=$(sed -n 's/^log *= //p' "$2")
event() { printf '%s (012.000.000) 2026-11-23 17:00:00 %s\\n...\\n' "$1" "$2" >>"$log"; }
event 000 'Job submitted from host: <10.0.0.1:9618>'
event 001 'Job executing on host: <10.0.0.2:9618>'
echo said >stdout.txt
echo made >model.pt
event 005 'Job terminated.
\t(1) Normal termination (return value 0)'
echo '12.0 - 12.0'
"""


def test_htcondor(person: Person) -> None:
    """Its log is brought, and tells the story; all that the pool brought back comes by fetch."""
    person.cluster.add("condor_submit", CONDOR)
    (person.work / "data").mkdir()
    (person.work / "data" / "one").write_text("1")
    (person.work / "linked").symlink_to("data/one")
    options = ("--input", "data", "--input", "linked")
    done = person.tries("true", options=options, scheduler="htcondor")
    assert done.status == 0, done.err
    job = Path(done.out.strip())
    inputs = person.cluster.jobs / "fit-1" / ".inputs"
    assert (
        f"transfer_input_files     = {inputs}/data, {inputs}/linked"
        in (job / "fit.sub").read_text()
    )
    assert (inputs / "data" / "one").read_text() == (inputs / "linked").read_text() == "1"
    assert person.run("wait", job).status == 0
    assert person.run("fetch", job).status == 0
    assert (job / "model.pt").read_text() == "made\n"
    assert not (job / ".inputs").exists()


def test_a_job_of_this_machine_alone(person: Person) -> None:
    done = person.tries("true", scheduler="local")
    assert done.status == 2
    assert "local is for this machine alone" in done.err
