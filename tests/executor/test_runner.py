"""What runs in the image: it needs an old Python and nothing else, leaves an outcome as a whole,
and whatever lies in its place is told apart from a result.
"""

from __future__ import annotations

import ast
import errno
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pixi_ship.errors import SchedulerError, UsageError
from pixi_ship.executor import runner, stand_in
from pixi_ship.executor.failure import FunctionFailed, RemoteTraceback
from pixi_ship.executor.function import FunctionName, MainModule
from pixi_ship.executor.outcome import Outcome, read_outcome
from pixi_ship.executor.runner import RESULT
from pixi_ship.executor.sent import Sent, call_of, sent
from pixi_ship.job.spec import ImageKind, JobImage, JobSpec

from .conftest import STUDY

SOURCES = [Path(runner.__file__), Path(stand_in.__file__)]
JOB = JobSpec(name="x", command=("x",), image=JobImage(ImageKind.HERE, "x"))


@pytest.mark.parametrize("source", SOURCES)
def test_old_pythons_read_it(source: Path) -> None:
    ast.parse(source.read_text(), feature_version=(3, 8))
    roots = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert {root.partition(".")[0] for root in roots} <= {*sys.stdlib_module_names}


def travelling(tmp_path: Path, code: str, *calls: tuple[str, tuple[Any, ...]]) -> Path:
    """Calls of a module `study`, laid out as they travel; the directory that a task starts in."""
    (tmp_path / "study.py").write_text(code)
    made = [call_of(FunctionName("study", name), args, {}, 4) for name, args in calls]
    bundle = sent(made, [tmp_path / "study.py"], MainModule, 4, "python")
    job = bundle.fill(JOB, tmp_path / "job")
    (place,) = map(Path, job.inputs)
    shutil.copytree(place, tmp_path / "task" / place.name)
    return tmp_path / "task"


def call(task: Path, *words: str, python: str = sys.executable) -> int:
    done = subprocess.run(
        [python, "-u", "pixi_ship_function/run.py", *words],
        cwd=task,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ""},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    return done.returncode


def outcome(task: Path) -> Outcome:
    found = read_outcome(task, "the job")
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["python3.8", "python3.9", "python3.10", "python3.12", "python3"])
def test_pythons_that_are_here(tmp_path: Path, name: str) -> None:
    # Several versions often lie beside each other.
    beside = Path(sys.base_prefix).parent.glob(f"*/bin/{name}")
    python = next((str(each) for each in beside), shutil.which(name))
    if python is None or subprocess.run([python, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"not on this machine: {name}")
    task = travelling(tmp_path, STUDY, ("read", ("pixi_ship_function/call.json",)))
    assert call(task, python=python) == 0
    assert json.loads(str(outcome(task).value))["format"] == 1


def test_each_its_own_arguments(tmp_path: Path) -> None:
    calls = [("read", (f"{number}",)) for number in range(3)]
    task = travelling(tmp_path, "def read(x):\n    return x\n", *calls)
    assert [(call(task, str(n)), outcome(task).value) for n in range(3)] == [
        *((0, "0"), (0, "1"), (0, "2"))
    ]


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("odd", 1, r"the job raised study\.Odd: 1"),
        ("exit", 3, "the job raised SystemExit: 3"),
        ("lambda", 0, "the result of the job cannot be pickled"),
    ],
)
def test_what_cannot_come_back(tmp_path: Path, kind: str, status: int, words: str) -> None:
    task = travelling(tmp_path, STUDY, ("fail", (kind,)))
    assert call(task) == status
    error = outcome(task).error
    assert isinstance(error, FunctionFailed)
    assert str(error).startswith(words.replace("\\", ""))
    assert "Traceback" in error.traceback
    assert isinstance(error.__cause__, RemoteTraceback)


@pytest.mark.parametrize(("kind", "status"), [("kill", -9), ("os._exit", 0)])
def test_a_call_that_has_no_end(tmp_path: Path, kind: str, status: int) -> None:
    """The file is there, and empty: schedulers that want it find it."""
    task = travelling(tmp_path, STUDY, ("fail", (kind,)))
    (task / RESULT).write_bytes(b"of an earlier run")
    assert call(task) == status
    assert (task / RESULT).read_bytes() == b""
    assert read_outcome(task, "the job") is None


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    task = travelling(tmp_path, "import nowhere_at_all\ndef f():\n    pass\n", ("f", ()))
    assert call(task) == 1
    error = outcome(task).error
    assert isinstance(error, ModuleNotFoundError)
    (note,) = error.__notes__
    assert note.startswith("module nowhere_at_all is not in the image: send it along")


def test_a_module_that_names_pixi_ship(tmp_path: Path) -> None:
    """It can be loaded where there is none; using it tells why it cannot be used."""
    code = (
        "import pixi_ship\nimport pixi_ship.errors\nfrom pixi_ship import Executor, Job\n"
        "from pixi_ship.errors import PixiShipError\n"
        "def f(use: 'Job[int]', also: Job[int] | None = None) -> 'Job[int]':\n"
        "    try:\n        return Executor('local') if use else 7\n"
        "    except (pixi_ship.JobFailed, pixi_ship.errors.UsageError, PixiShipError):\n"
        "        raise\n"
    )
    task = travelling(tmp_path, code, ("f", (0,)), ("f", (1,)))
    assert (call(task, "0", python="/usr/bin/python3"), outcome(task).value) == (0, 7)
    assert call(task, "1", python="/usr/bin/python3") == 1
    assert "pixi_ship is not in the image" in str(outcome(task).error)


POOL = """\
import multiprocessing
import pixi_ship

def square(number):
    return number * number

def f(method):
    with multiprocessing.get_context(method).Pool(1) as pool:
        return pool.map_async(square, [2, 3]).get(timeout=60)
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
@pytest.mark.parametrize("main", ["file", "module", None])
def test_a_function_that_starts_processes(tmp_path: Path, method: str, main: str | None) -> None:
    """They load the script as the job did, with no pixi-ship in the image."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "fit.py").write_text(f"from . import __name__ as above\n{POOL}")
    (tmp_path / "fit.py").write_text(POOL)
    script = {
        "file": MainModule(file=tmp_path / "fit.py"),
        "module": MainModule(module="package.fit"),
    }
    function = FunctionName("__main__" if main else "package.fit", "f")
    bundle = Sent((call_of(function, (method,), {}, 4),), (package,), script.get(main or ""), 4, "")
    (place,) = map(Path, bundle.fill(JOB, tmp_path / "job").inputs)
    shutil.copytree(place, tmp_path / "task" / place.name)
    assert call(tmp_path / "task", python="/usr/bin/python3") == 0
    assert outcome(tmp_path / "task").value == [4, 9]


def test_a_function_that_closes_its_stderr(tmp_path: Path) -> None:
    code = "import sys\ndef f():\n    sys.stderr.close()\n    raise KeyError(7)\n"
    task = travelling(tmp_path, code, ("f", ()))
    assert call(task) == 1
    assert isinstance(outcome(task).error, KeyError)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{\n", "reading"),
        (b"7\n", "reading"),
        (b'{"format": 2}\n', "is of format 2, want 1"),
        (b'{"format": 1}\n', "reading"),
        (b"[" * 100000 + b"\n", "reading"),
        (b"\xff\n", "reading"),
    ],
)
def test_what_no_call_has_left(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / RESULT).write_bytes(data)
    with pytest.raises(SchedulerError, match=words):
        read_outcome(tmp_path, "the job")


def test_results_that_cannot_be_read_here(tmp_path: Path) -> None:
    head = json.dumps({"format": 1, "outcome": "returned"}).encode() + b"\n"
    for data in (b"", b"\x80\x04garbage", b"\x80\x04\x8c\x07nowhere\x8c\x01X\x93."):
        (tmp_path / RESULT).write_bytes(head + data)
        error = outcome(tmp_path).error
        assert isinstance(error, FunctionFailed)
        assert "cannot be read here" in str(error)
    head = json.dumps({"format": 1, "outcome": "raised", "type": "X", "message": "m"}).encode()
    (tmp_path / RESULT).write_bytes(head + b"\n" + pickle.dumps("no exception"))
    assert str(outcome(tmp_path).error) == "the job raised X: m"


def test_arguments_that_cannot_travel() -> None:
    with pytest.raises(UsageError, match="pickling the arguments of f: ") as caught:
        call_of(FunctionName("m", "f"), (lambda: 1,), {}, 4)
    assert "plain data" in str(caught.value.hint)


def test_the_script_travels_only_where_it_is_needed(tmp_path: Path) -> None:
    def main() -> MainModule:
        return MainModule(file=tmp_path / "fit.py")

    def needs(function: FunctionName, *arguments: object) -> bool:
        made = [call_of(function, arguments, {}, 4)]
        return sent(made, [], main, 4, "python").main is not None

    assert needs(FunctionName("__main__", "f"))
    assert needs(FunctionName("m", "f"), "a class of __main__, perhaps")
    assert not needs(FunctionName("m", "f"), "plain")


def test_code(tmp_path: Path) -> None:
    """Files and directories, without what Python or git keeps there, and no name twice."""
    package = tmp_path / "package"
    for name in ("package/__pycache__", "package/.git", "other"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("package/__init__.py", "package/__pycache__/x.pyc", "fit.py", "other/fit.py"):
        (tmp_path / name).write_text(name)
    main = MainModule(file=tmp_path / "fit.py")
    code = (package, tmp_path / "fit.py")
    job = Sent((), code, main, 4, "python").fill(JOB, tmp_path / "job")
    (place,) = map(Path, job.inputs)
    found = sorted(str(each.relative_to(place / "code")) for each in (place / "code").rglob("*"))
    assert found == ["fit.py", "package", "package/__init__.py"]
    for wrong, words in (
        ((tmp_path / "other" / "fit.py",), "two things named fit.py"),
        ((tmp_path / "gone.py",), "gone.py: No such file"),
    ):
        with pytest.raises(UsageError, match=words):
            Sent((), wrong, main, 4, "python").fill(JOB, tmp_path / words[:4])


def test_code_that_cannot_be_copied(tmp_path: Path) -> None:
    """Of a directory with the jobs in it there would be no end."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "gone").symlink_to("nowhere")
    for number, (path, words) in enumerate(
        (
            (tmp_path, "holds the jobs too"),
            (tmp_path / "..", "has no name to be found by"),
            (Path("/"), "has no name to be found by"),
            (package, "^sending code along: .*/package/gone: "),
        )
    ):
        with pytest.raises(UsageError, match=words) as caught:
            Sent((), (path,), None, 4, "python").fill(JOB, tmp_path / f"job-{number}")
        assert "\n" not in str(caught.value)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, text: str, encoding: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UsageError, match=r"sending code along: .*/job/sent/.*: No space left"):
        Sent((), (), None, 4, "python").fill(JOB, tmp_path / "job")
