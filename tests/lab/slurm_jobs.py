"""Batch jobs of Slurm, as people submit and look at them on the submit host."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from lab.cluster import Lab
from lab.service import wait_until

_NUMBERS = count()


@dataclass(frozen=True, slots=True)
class Ended:
    """What accounting says of a job that has ended."""

    state: str
    exit_code: str
    node: str


def submit(lab: Lab, script: str, *options: str, output: str = "/scratch/%j.out") -> str:
    """The id of a new batch job, whose output lies on the node that ran it."""
    path = f"/tmp/job-{next(_NUMBERS)}.sh"
    lab.submit.write(path, f"#!/bin/bash\n{script}")
    words = ("--parsable", "--chdir=/scratch", f"--output={output}", *options)
    return lab.submit.output("sbatch", *words, path).strip()


def state(lab: Lab, job: str) -> str:
    """What the controller says now: PENDING, RUNNING, COMPLETED..."""
    return shown(lab, job, "JobState")


def shown(lab: Lab, job: str, name: str) -> str:
    """A field of `scontrol show job`."""
    words = lab.submit.output("scontrol", "show", "job", job).split()
    return next(word.partition("=")[2] for word in words if word.startswith(f"{name}="))


def reason(lab: Lab, job: str) -> str:
    """Why a job waits, once the scheduler has looked at it."""
    log = str(lab.submit.logs / "slurm" / "slurmctld.log")
    wait_until(f"why job {job} waits", lambda: shown(lab, job, "Reason") != "None", log)
    return shown(lab, job, "Reason")


def wait(lab: Lab, job: str, patience: float = 180) -> dict[str, Ended]:
    """Wait until a job, or each task of an array, has ended; by id."""
    # Not those that only clean up: after a node's death Slurm 26.05 waits a minute for that.
    ask = ("squeue", "--noheader", "--states=pending,running,requeued", "--jobs", job)
    log = str(lab.submit.logs / "slurm" / "slurmctld.log")
    wait_until(f"job {job} has ended", lambda: not lab.submit.output(*ask).strip(), log, patience)
    words = ("sacct", "--noheader", "--parsable2", "--allocations", "--jobs", job)
    ended: dict[str, Ended] = {}

    def known() -> bool:
        rows = lab.submit.output(*words, "--format=JobID,State,ExitCode,NodeList").splitlines()
        ended.update({name: Ended(*rest) for name, *rest in (row.split("|") for row in rows)})
        return bool(ended) and all(each.state not in _UNFINISHED for each in ended.values())

    # The controller tells the database a moment later.
    wait_until(f"accounting has job {job}", known, str(lab.submit.logs / "slurm/slurmdbd.log"))
    return ended


def wait_for(lab: Lab, job: str, wanted: str, patience: float = 180) -> None:
    """Wait until the controller says that a job is in a state."""
    log = str(lab.submit.logs / "slurm" / "slurmctld.log")
    wait_until(f"job {job} is {wanted}", lambda: state(lab, job) == wanted, log, patience)


_UNFINISHED = ("PENDING", "RUNNING", "COMPLETING", "REQUEUED")
