"""The rules of runtimes that cannot be had here are the ones that their sources state, and none of
them changes a variable of our image.
"""

from __future__ import annotations

import pytest

from pixi_ship.recipe.activation import is_safe

from .rules import enroot_environment, pyxis_environment, shifter_environment
from .stage import Stage

HOST = {"HOME": "/home/me", "EMPTY": ""}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("A=plain", "plain"),
        ("A=", ""),
        ("A=a=b c", "a=b c"),
        ("A=${HOME}/x", "/home/me/x"),
        ("A=${EMPTY}${NOWHERE}x", "x"),
        ("A=$HOME", "$HOME"),
        ("A='quoted'", "quoted"),
        ('A="quoted" ', "quoted"),
        ("A=\"mixed'", "mixed"),
        ("A=it's", "it's"),
        ("A='", "'"),
        ("  A=led in", "led in"),
        ("A=one\nB=two", "one"),
    ],
)
def test_enroot_reads_a_row(row: str, found: str) -> None:
    assert enroot_environment([row], HOST, {})["A"] == found


@pytest.mark.parametrize("row", ["ENROOT_A=1", "#A=1", "1A=1", "A.B=1", "A-B=1", "A", ""])
def test_enroot_drops_a_row(row: str) -> None:
    assert enroot_environment([row], HOST, {}) == {}


@pytest.mark.parametrize(
    "value", ["plain", "", "a=b c", "it's", 'say "x" now', "a\tb", "--x ", "é"]
)
def test_a_value_that_is_called_safe_is_safe_with_enroot(value: str) -> None:
    assert is_safe(value)
    assert enroot_environment([f"A={value}"], HOST, {}) == {"A": value}


@pytest.mark.parametrize(
    "value",
    ["${HOME}", "'x'", '"x"', "a\nb", "'x' ", "\"x'"],
)
def test_a_value_that_enroot_changes_is_not_called_safe(value: str) -> None:
    assert not is_safe(value)
    assert enroot_environment([f"A={value}"], HOST, {}) != {"A": value}


def test_pyxis_lays_the_shell_over_the_job() -> None:
    shell, job = {"PATH": "/image", "A": ""}, {"PATH": "/host", "A": "host", "B": "b", "LANG": "x"}
    assert pyxis_environment(shell, job) == {"PATH": "/image", "A": "", "B": "b"}


def test_shifter_lays_the_image_over_the_host() -> None:
    found = shifter_environment(["PATH=/image", "A="], {"PATH": "/host", "A": "host", "B": "b"})
    assert found == {"PATH": "/image", "A": "", "B": "b"}


def test_no_rule_changes_our_image(stage: Stage) -> None:
    host = {**stage.variables, "PATH": "/host", "HOME": "/home/me"}
    assert enroot_environment(stage.rows, host, {}) == stage.variables
    assert shifter_environment(stage.rows, {}) == stage.variables
