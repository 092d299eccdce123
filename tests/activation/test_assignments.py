"""What can be known of activation without running a script."""

from __future__ import annotations

import subprocess

import pytest

from pixi_ship.recipe.activation import is_safe
from pixi_ship.recipe.assignments import assignments

KNOWN = {"CONDA_PREFIX": "/app/env", "PATH": "/app/env/bin:/usr/bin"}

PLAIN = [
    ("export A=1", {"A": "1"}),
    ("export A=1;", {"A": "1"}),
    ("A=1\nexport A", {"A": "1"}),
    ("A=1", {}),
    ("# a comment\n\nexport A=1  # another", {"A": "1"}),
    ("export A='it is $HOME'", {"A": "it is $HOME"}),
    ('export A="$CONDA_PREFIX/share"', {"A": "/app/env/share"}),
    ("export A=${CONDA_PREFIX}/share", {"A": "/app/env/share"}),
    ('export A="a \\"quoted\\" word"', {"A": 'a "quoted" word'}),
    ("export A='a'b\"c\"", {"A": "abc"}),
    ("export A=\nexport B=2", {"A": "", "B": "2"}),
    ("export A=1\nexport B=$A$A", {"A": "1", "B": "11"}),
    ('export PATH="$CONDA_PREFIX/x:$PATH"', {"PATH": "/app/env/x:/app/env/bin:/usr/bin"}),
]


@pytest.mark.parametrize(("script", "want"), PLAIN)
def test_a_script_that_only_assigns_is_read_as_the_shell_does(
    script: str, want: dict[str, str]
) -> None:
    assert assignments(script, KNOWN) == want
    report = "\nenv -0"
    shell = subprocess.run(
        ["/bin/sh", "-c", script + report.replace("env", "/usr/bin/env")],
        env=KNOWN,
        capture_output=True,
        check=True,
    )
    seen = dict(row.split("=", 1) for row in shell.stdout.decode().split("\0") if row)
    assert {name: seen[name] for name in want} == want


@pytest.mark.parametrize(
    "script",
    [
        "export A=$(date)",
        "export A=`date`",
        "if true; then export A=1; fi",
        ". other.sh",
        "export A=$UNKNOWN",
        "export A=1 B=2",
        "unset A",
        "export A=*.txt",
        "export A=~/x",
        "export A=1; rm -rf x",
        "export A=1 && export B=2",
        'export A="unfinished',
        "export A=$((1 + 1))",
        "export A=a b",
        "function f { :; }",
    ],
)
def test_a_script_that_does_more_is_left_to_the_shell(script: str) -> None:
    assert assignments(script, KNOWN) is None


@pytest.mark.parametrize("value", ["", "plain", "it's", '"half', "a b", "a=b", "ü"])
def test_values_that_every_runtime_passes_on(value: str) -> None:
    assert is_safe(value)


@pytest.mark.parametrize("value", ["$HOME", "a\nb", "'quoted'", '"quoted"', "a\0b", "a\rb"])
def test_values_that_a_runtime_would_change(value: str) -> None:
    assert not is_safe(value)
