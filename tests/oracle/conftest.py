"""The oracle: rattler with one cache of unpacked packages for the whole session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from rattler import RepoDataRecord

from pixi_ship.prefix.bytecode import Compiler, probe_interpreter

from . import differences, trees

Judge = Callable[[Sequence[RepoDataRecord]], None]
RACES = 40  # installs until rattler's threads must have met in every order


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rattler-cache")


@pytest.fixture(scope="session")
def compiler() -> Iterator[Compiler | None]:
    """An interpreter of the channel's series; None where this machine has none."""
    interpreter = probe_interpreter("python3.11")
    if interpreter is None:
        yield None
        return
    with Compiler(interpreter) as found:
        yield found


@pytest.fixture
def agree(cache: Path, tmp_path: Path, compiler: Compiler | None) -> Judge:
    """Assert that our tree of these records is rattler's, but for the intended differences.

    With a compiler it has bytecode besides, and everything else as without.
    """

    def judge(records: Sequence[RepoDataRecord]) -> None:
        lock = trees.locked(records, tmp_path)
        plain = trees.ours(lock)
        left = differences.unexplained(trees.rattlers(lock, cache), plain)
        assert not left, "\n".join(left)
        if compiler is not None:
            left = differences.besides_bytecode(plain, trees.ours(lock, compiler))
            assert not left, "\n".join(left)

    return judge


@pytest.fixture
def agree_at_last(cache: Path, tmp_path: Path) -> Judge:
    """Assert that our tree is one of those that rattler makes, which depend on its threads."""

    def judge(records: Sequence[RepoDataRecord]) -> None:
        lock = trees.locked(records, tmp_path)
        mine = trees.ours(lock)
        left = ["never tried"]
        for _ in range(RACES):
            left = differences.unexplained(trees.rattlers(lock, cache), mine)
            if not left:
                return
        raise AssertionError("\n".join(left))

    return judge
