"""A job sees the same environment in every runtime, whoever starts it and however; where one cannot
show it, the reason is on record (`expected.py`), and these tests fail when the record is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from ..tiny import lacking
from .expected import BY_NATURE, BY_US, REASONS
from .matrix import RUNTIMES, Matrix
from .probe import CHECKS, Check, Circumstance, facts_of
from .runtime import Done, Runtime


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.name)
def test_cell(matrix: Matrix, runtime: Runtime, check: Check) -> None:
    cell = matrix.cell(runtime, check)
    if cell.holds is None:
        # Apptainer comes from another Debian suite, which not every machine can reach.
        skip = pytest.skip if runtime.group == "apptainer" or os.geteuid() != 0 else lacking
        skip(cell.why or "")
    assert cell.as_expected, f"{cell}; the probe found {dict(cell.facts)}"


def test_names_are_told_once() -> None:
    assert len({each.name for each in RUNTIMES}) == len(RUNTIMES)
    assert len({each.name for each in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize("record", [BY_NATURE, BY_US], ids=["by nature", "by us"])
def test_record_speaks_of_cells_that_there_are(record: Mapping[str, Mapping[str, str]]) -> None:
    assert record.keys() <= {each.name for each in RUNTIMES}
    for cells in record.values():
        assert cells.keys() <= {each.name for each in CHECKS}
        assert set(cells.values()) <= REASONS.keys()


def test_a_cell_has_one_reason() -> None:
    both = {(row, check) for row in BY_NATURE for check in BY_NATURE[row]}
    assert not both & {(row, check) for row in BY_US for check in BY_US[row]}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_no_check_holds_of_nothing(check: Check) -> None:
    """What prints no facts passes nothing."""
    nothing = facts_of(Done([], 0, 'fact\tpath\t"/usr/bin"\nmore\n', ""))
    assert nothing["path"] == "/usr/bin"
    assert not check.holds(nothing)


def test_every_circumstance_is_judged() -> None:
    assert {each.circumstance for each in CHECKS} == set(Circumstance)
