"""Amounts mean the same for both schedulers, whichever way they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixi_ship.errors import UsageError
from pixi_ship.job.quantity import parse_bytes, parse_time, rounded_up, slurm_time

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4G", 4 * GIB),
        ("4GB", 4 * GIB),
        ("4GiB", 4 * GIB),
        ("4 g", 4 * GIB),
        ("512M", 1 << 29),
        ("1.5T", 3 << 39),
        ("10K", 10240),
    ],
)
def test_bytes(text: str, size: int) -> None:
    assert parse_bytes(text, "--memory") == size


@pytest.mark.parametrize("text", ["", "4", "G", "-4G", "4X", "0G", "4G5", "1e3G", "9999999P"])
def test_no_bytes(text: str) -> None:
    with pytest.raises(UsageError, match="--memory"):
        parse_bytes(text, "--memory")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("90m", 5400),
        ("90min", 5400),
        ("2h30m", 9000),
        ("1d", 86400),
        ("1d2h3m4s", 93784),
        ("2:30", 9000),
        ("02:30:00", 9000),
        ("1-12:00:00", 129600),
        ("1-12:00", 129600),
    ],
)
def test_time(text: str, seconds: int) -> None:
    assert parse_time(text, "--time") == seconds


@pytest.mark.parametrize("text", ["", "90", "h", "1h2d", "-1h", "0s", "1:2:3:4", "500d", "1.5h"])
def test_no_time(text: str) -> None:
    """A bare number is minutes to Slurm, seconds to HTCondor: it is refused."""
    with pytest.raises(UsageError, match="--time"):
        parse_time(text, "--time")


@given(st.integers(1, 366 * 86400))
def test_slurm_reads_the_same_time(seconds: int) -> None:
    assert parse_time(slurm_time(seconds), "--time") == seconds


@given(st.integers(0, 1 << 50), st.sampled_from([1 << 10, 1 << 20]))
def test_never_less_than_asked_for(amount: int, unit: int) -> None:
    assert amount <= rounded_up(amount, unit) * unit < amount + unit
