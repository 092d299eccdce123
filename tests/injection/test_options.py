"""The options start from where the command is given, and leave links as they are."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pixi_ship.cli.injection_options import injection_options


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*given: str) -> list[str]:
    @click.command()
    @injection_options
    def show(inject: tuple[Path, ...], from_prefix: Path | None) -> None:
        click.echo("\n".join([*map(str, inject), str(from_prefix)]))

    done = CliRunner().invoke(show, given)
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def test_nothing_is_given_by_default(words: Path) -> None:
    assert run() == ["None"]


def test_paths_are_absolute_and_links_stay(words: Path) -> None:
    (words / "real").mkdir()
    (words / "link").symlink_to("real")
    found = run("--inject", "a.conda", "--inject", "b.whl", "--from-prefix", "link")
    assert found == [f"{words}/a.conda", f"{words}/b.whl", f"{words}/link"]
