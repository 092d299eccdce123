"""Functions as jobs of real schedulers, from a script on the submit host: results, exceptions and
classes of the script come back, also without a shared filesystem and to another process.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from lab.cluster import Lab
from lab.machine import HOME

from .conftest import Pool

_HEAD = """\
import json, os, sys, time
import pixi_ship

class Point:
    def __init__(self, x):
        self.x = x

class Odd(Exception):
    def __init__(self, one, two):
        super().__init__(one)

def square(x):
    import numpy
    print("of", x)
    return Point(int(numpy.square(x)))

def fail(kind):
    sys.stderr.write("about to fail\\n")
    if kind == "value":
        raise ValueError("it's no value")
    if kind == "odd":
        raise Odd(1, 2)
    os.kill(os.getpid(), 9)

def sleep():
    time.sleep(1000)

def executor(**more):
    return pixi_ship.Executor(
        {scheduler!r}, image={image!r}, folder="jobs", plain_http=True, memory="200M", **more
    )

if __name__ == "__main__":
"""


class Submitter:
    """Scripts on the submit host."""

    def __init__(self, lab: Lab, scheduler: str, image: str) -> None:
        self.lab = lab
        self._head = _HEAD.replace("{scheduler!r}", repr(scheduler))
        self._head = self._head.replace("{image!r}", repr(image))

    def run(self, *lines: str) -> Any:
        """What the last line, an expression, is, as JSON takes it."""
        *body, last = lines
        text = "".join(f"    {line}\n" for line in (*body, f"print(json.dumps({last}))"))
        self.lab.submit.write(f"{HOME}/study.py", self._head + text)
        done = self.lab.submit.run("python3", "study.py", timeout=300)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def submitter(pool: Pool) -> Submitter:
    return Submitter(*pool)


def test_a_result_and_what_was_printed(submitter: Submitter) -> None:
    found = submitter.run(
        "job = executor().submit(square, x=7)",
        "result = job.result(timeout=240)",
        "[result.x, type(result) is Point, job.stdout(), job.state, job.done()]",
    )
    assert found == [49, True, "of 7\n", "done", True]


def test_an_array_of_thirty_in_another_process(submitter: Submitter) -> None:
    directory = submitter.run(
        "jobs = executor(at_once=8).map_array(square, range(30))",
        "str(jobs[0].paths.directory.parent)",
    )
    found = submitter.run(
        f"jobs = pixi_ship.Job.load_array({directory!r})",
        "results = [job.result(timeout=280).x for job in jobs]",
        f"[results, pixi_ship.Job.load({directory!r}, 7).stdout()]",
    )
    assert found == [[n * n for n in range(30)], "of 7\n"]


def test_exceptions(submitter: Submitter) -> None:
    """Itself, or else its text; and a job that was killed says so, with its last words."""
    found = submitter.run(
        "jobs = executor().map_array(fail, ['value', 'odd', 'kill'])",
        "errors = [job.exception(timeout=280) for job in jobs]",
        "[[type(each).__name__, str(each)] for each in errors]",
    )
    assert found[0] == ["ValueError", "it's no value"]
    assert found[1] == ["FunctionFailed", f"fail (job {_id(found[2][1])[:-1]}1) raised Odd: 1"]
    name, text = found[2]
    assert name == "JobFailed"
    assert "is failed with exit code 137" in text
    assert "the end of its stderr:\nabout to fail" in text


def _id(text: str) -> str:
    """The scheduler's identifier in an error."""
    return text.partition("(job ")[2].partition(")")[0]


def test_cancel_one_of_an_array(submitter: Submitter) -> None:
    found = submitter.run(
        "run = executor()",
        "with run.batch():",
        "    slow, quick = run.submit(sleep), run.submit(square, 3)",
        "slow.cancel()",
        "error = slow.exception(timeout=120)",
        "[type(error).__name__, error.state, quick.result(timeout=240).x]",
    )
    assert found == ["JobFailed", "cancelled", 9]
