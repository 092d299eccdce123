"""Bytecode that stays valid in an image, and is the same whoever compiles it."""

from __future__ import annotations

import marshal
import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pixi_ship.prefix.bytecode import (
    Compiler,
    Interpreter,
    cache_path,
    probe_interpreter,
    source_path,
    without_time,
)

SOURCES = {
    "constants": b"def f(x):\n    return x in {'a', 'b', 'c', 1, 2}\nNAMES = ('a', 'b', 'f')\n",
    "strings": b"import sys\nA = 'shared'; B = 'shared'\nclass C:\n    shared = A\n",
    "slices": b"def f(x):\n    return x[1:2], x[::2]\n",
    "nothing": b"",
    "lambda": b"f = lambda *a, **k: [i for i in a if i not in {1, 2, 3}]\n",
}


@pytest.fixture(scope="module")
def interpreter() -> Interpreter:
    found = probe_interpreter(sys.executable)
    assert found is not None
    return found


@pytest.mark.parametrize("chunk", [1, 7, 16, 1000])
def test_a_timed_pyc_is_imported_after_its_source_got_another_time(
    chunk: int, tmp_path: Path
) -> None:
    source = tmp_path / "module.py"
    source.write_text("WHO = 'the bytecode'\n")
    compiled = Path(py_compile.compile(str(source), doraise=True) or "")
    data = compiled.read_bytes()
    pieces = (data[at : at + chunk] for at in range(0, len(data), chunk))
    compiled.write_bytes(b"".join(without_time(pieces)))
    source.write_text("WHO = 'the source'\n")
    os.utime(source, (315532800, 315532800))
    command = [sys.executable, "-B", "-c", "import module; print(module.WHO)"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert answer.stdout == "the bytecode\n"


@pytest.mark.parametrize("data", [b"", b"short", b"not a pyc, and longer than its header"])
def test_what_is_no_timed_pyc_passes_unchanged(data: bytes) -> None:
    assert b"".join(without_time([data])) == data


def test_a_checked_hash_stays(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text("X = 1\n")
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    compiled = Path(py_compile.compile(str(source), invalidation_mode=mode, doraise=True) or "")
    data = compiled.read_bytes()
    assert b"".join(without_time([data])) == data


def test_two_compilers_in_another_order_give_the_same_bytes(interpreter: Interpreter) -> None:
    with Compiler(interpreter) as one, Compiler(interpreter) as two:
        first = {name: one.compile(text, f"/app/{name}.py") for name, text in SOURCES.items()}
        for name in reversed(SOURCES):
            two.compile(b"x = {'other', 'a', 'b'}\nshared = 'shared'\n", "/app/other.py")
            assert two.compile(SOURCES[name], f"/app/{name}.py") == first[name]


def test_compiled_bytecode_is_imported_whatever_the_time_of_its_source(
    interpreter: Interpreter, tmp_path: Path
) -> None:
    with Compiler(interpreter) as compiler:
        pyc = compiler.compile(b"WHO = 'the bytecode'\n", "/app/m.py")
    assert pyc is not None
    assert marshal.loads(pyc[16:]).co_filename == "/app/m.py"
    (tmp_path / "m.py").write_text("raise SystemExit('the source was run')\n")
    cached = tmp_path / cache_path("m.py", interpreter.cache_tag)
    cached.parent.mkdir()
    cached.write_bytes(pyc)
    command = [sys.executable, "-B", "-c", "import m; print(m.WHO)"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert answer.stdout == "the bytecode\n"


@pytest.mark.parametrize("source", [b"def (:\n", b"\xff\xfe", b"x = '\0'\n", b"return\n"])
def test_what_does_not_compile_is_none_and_the_compiler_goes_on(
    source: bytes, interpreter: Interpreter
) -> None:
    with Compiler(interpreter) as compiler:
        assert compiler.compile(source, "/app/bad.py") is None
        assert compiler.compile(b"x = 1\n", "/app/good.py")


def test_other_programs_are_no_interpreter() -> None:
    assert probe_interpreter("/nonexistent/python") is None
    assert probe_interpreter(shutil.which("true") or "true") is None


@pytest.mark.parametrize(
    ("source", "pyc"),
    [
        ("m.py", "__pycache__/m.cpython-312.pyc"),
        ("lib/p/__init__.py", "lib/p/__pycache__/__init__.cpython-312.pyc"),
    ],
)
def test_a_source_and_its_bytecode_find_each_other(source: str, pyc: str) -> None:
    assert cache_path(source, "cpython-312") == pyc
    assert source_path(pyc) == source


@pytest.mark.parametrize("path", ["m.pyc", "lib/m.pyc", "lib/__pycache__/m.so"])
def test_other_paths_have_no_source(path: str) -> None:
    assert source_path(path) is None
