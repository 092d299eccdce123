"""Real workspaces are rendered, or refused in a sentence: none ends in a traceback.

What is rendered keeps the rules that every Dockerfile of ours keeps.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import render
from .test_rules import instructions, of


@pytest.mark.parametrize("options", [(), ("--as-template",)], ids=["filled in", "template"])
def test_every_workspace(shared_corpus: list[Path], options: tuple[str, ...]) -> None:
    rendered = 0
    for workspace in shared_corpus:
        ran = render("dockerfile", "-w", workspace, *options)
        if ran.status:
            assert ran.err.startswith("error: "), workspace.name
            assert ran.out == ""
            continue
        rendered += 1
        names = [each.name for each in instructions(ran.out)]
        assert names.count("FROM") == 2, workspace.name
        copied = [each.copied for each in of(ran.out, "COPY")]
        assert all(len(words) >= 2 for words in copied)
        assert names[-2:] == ["ENTRYPOINT", "CMD"]
    assert rendered > len(shared_corpus) / 4
