"""Jobs of HTCondor, as people submit and look at them on the access point."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import count
from typing import Any

from lab.cluster import Lab
from lab.service import wait_until

_NUMBERS = count()
_STATUS = {1: "idle", 2: "running", 3: "removed", 4: "completed", 5: "held"}


@dataclass(frozen=True, slots=True)
class Jobs:
    """One submission: its cluster id and the directory its files are in on the access point."""

    lab: Lab
    cluster: str
    folder: str

    def wait(self, patience: float = 240) -> list[dict[str, Any]]:
        """Wait until all of them have left the queue; their ClassAds, in order."""
        ask = ("condor_q", self.cluster, "-autoformat", "ProcId")
        submit = self.lab.submit
        log = str(submit.logs / "condor" / "SchedLog")
        what = f"jobs {self.cluster} have ended"
        wait_until(what, lambda: not submit.output(*ask).strip(), log, patience)
        ended = json.loads(submit.output("condor_history", self.cluster, "-json"))
        return sorted(ended, key=lambda ad: int(ad["ProcId"]))

    def queued(self) -> dict[str, Any]:
        """The ClassAd of the first, which is still in the queue."""
        found: list[dict[str, Any]] = json.loads(
            self.lab.submit.output("condor_q", self.cluster, "-json")
        )
        return found[0]

    def status(self) -> str:
        """What the first of them is: idle, running, held..."""
        return _STATUS[int(self.queued()["JobStatus"])]

    def read(self, name: str) -> str:
        """A file that lies with the submission."""
        return self.lab.submit.output("cat", f"{self.folder}/{name}")

    def listed(self) -> list[str]:
        """The names of all files that lie with the submission."""
        return self.lab.submit.output("ls", self.folder).split()


def submit(lab: Lab, description: str, **files: str) -> Jobs:
    """Submit what a description says; files lie beside it, under their names with `.sh`."""
    folder = f"/home/ordinary/condor-{next(_NUMBERS)}"
    lab.submit.output("rm", "-rf", folder)
    lab.submit.output("mkdir", folder)
    for name, text in files.items():
        lab.submit.write(f"{folder}/{name}.sh", f"#!/bin/sh\n{text}", mode=0o755)
    head = "output = $(Process).out\nerror = $(Process).err\nlog = log\nrequest_memory = 200\n"
    lab.submit.write(f"{folder}/job.sub", f"{head}request_disk = 1G\n{description}\n")
    said = lab.submit.output("condor_submit", "-terse", "job.sub", cwd=folder)
    return Jobs(lab, said.partition(".")[0], folder)
