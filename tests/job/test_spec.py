"""A job that no scheduler could take is refused before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pixi_ship.errors import ImageError, UsageError
from pixi_ship.job.spec import JobSpec, Resources, Tasks, parse_tasks

from .cases import IMAGE

FAULTS: dict[str, tuple[Mapping[str, Any], str]] = {
    "a name with a slash": ({"name": "a/b"}, "'a/b' cannot be a job's name"),
    "a name with a line break": ({"name": "a\n"}, "cannot be a job's name"),
    "no command": ({"command": ()}, "no command"),
    "a variable with a space": ({"env": {"A B": "1"}}, "'A B' cannot be a variable's name"),
    "a NUL in a word": ({"command": ("a\0",)}, "NUL"),
    "a NUL in a variable": ({"env": {"A": "\0"}}, "NUL"),
    "an item of two lines": ({"items": ("a\nb",)}, "line break"),
    "an output elsewhere": ({"outputs": ("/etc/passwd",)}, "not in the job's directory"),
    "an output above": ({"outputs": ("a/../../b",)}, "not in the job's directory"),
    "a word that is not UTF-8": ({"command": ("a\udcff",)}, "not in UTF-8"),
    "a variable that is not UTF-8": ({"env": {"A": "\udcff"}}, "not in UTF-8"),
    "an address with a blank": ({"mail": "me @example.org"}, "cannot be an address"),
    "two addresses": ({"mail": "me@example.org,you@example.org"}, "cannot be an address"),
    "an address with a line break": ({"mail": "me@example.org\n"}, "cannot be an address"),
    "an address that is an option": ({"mail": "--wait"}, "cannot be an address"),
    "an address for the shell": ({"mail": "$(id)@example.org"}, "cannot be an address"),
    "a relative directory": ({"workdir": "job"}, "cannot be a directory in the image"),
    "a directory of two lines": ({"workdir": "/job\nrequirements = x"}, "cannot be a directory"),
    "two directories": ({"workdir": "/job:/etc"}, "cannot be a directory in the image"),
    "everything as output by another name": ({"outputs": ("./",)}, "not in the job's directory"),
    "the directory above as input": ({"inputs": ("/home/me/..",)}, "has no name of its own"),
    "everything as input": ({"inputs": ("/",)}, "has no name of its own"),
    "everything as output": ({"outputs": (".",)}, "not in the job's directory"),
}


@pytest.mark.parametrize(("change", "words"), FAULTS.values(), ids=FAULTS)
def test_refused(change: Mapping[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        JobSpec(**{"name": "fit", "command": ("true",), "image": IMAGE, **change})


@pytest.mark.parametrize("address", ["me@example.org", "me", "a.b+c_d%e@sub.example-site.org"])
def test_addresses(address: str) -> None:
    """Also a name without a place, which the site completes."""
    assert JobSpec(name="fit", command=("true",), image=IMAGE, mail=address).mail == address


@pytest.mark.parametrize("text", ["8.0 ", "sm_80", "8.0\nrequirements = false", "", "8.", "-1"])
def test_no_capabilities(text: str) -> None:
    with pytest.raises(UsageError, match="no compute capability"):
        Resources(gpus=1, gpu_capability=text)


@pytest.mark.parametrize("text", ["12.x", "12\nrequirements = false", ""])
def test_what_an_image_says_is_no_text_for_schedulers(text: str) -> None:
    with pytest.raises(ImageError, match="no version"):
        replace(IMAGE, cuda=text)


@pytest.mark.parametrize(
    ("text", "tasks", "count"),
    [
        ("0-29", Tasks(0, 29), 30),
        ("1-10:3", Tasks(1, 10, 3), 4),
        ("5-5", Tasks(5, 5), 1),
        ("0-99%5", Tasks(0, 99, 1, 5), 100),
        ("2-9:2%3", Tasks(2, 9, 2, 3), 4),
    ],
)
def test_arrays(text: str, tasks: Tasks, count: int) -> None:
    assert parse_tasks(text) == tasks
    assert len(tasks) == count


@pytest.mark.parametrize(
    "text", ["", "5", "5-1", "0-9:0", "0-9%0", "-1-3", "a-b", "0-9,12", "0-99999999", "0-9 "]
)
def test_no_arrays(text: str) -> None:
    with pytest.raises(UsageError, match="--array"):
        parse_tasks(text)
