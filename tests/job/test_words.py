"""Words of a command reach the job unchanged, through sh and through HTCondor's own rules.

The rules for HTCondor's ``arguments`` are put down again here, from the manual; the real
condor_submit is asked in tests/lab.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pixi_ship.job.htcondor import render_htcondor
from pixi_ship.job.quote import shell_command
from pixi_ship.job.script import task_script
from pixi_ship.job.site import Site
from pixi_ship.job.slurm import render_slurm
from pixi_ship.job.spec import ImageKind, JobImage, JobSpec, Tasks

from .cases import IMAGE

WORDS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=6)
SHOW = (sys.executable, "-c", "import sys; sys.stdout.write(repr(sys.argv[1:]))")


def told(script: str, *arguments: str) -> list[str]:
    """What a command that shows its words shows, when sh runs the script."""
    done = subprocess.run(["sh", "-c", script, "sh", *arguments], capture_output=True, check=True)
    found: list[str] = eval(done.stdout)
    return found


@settings(max_examples=60, deadline=None)
@given(WORDS)
def test_sh_gives_the_words_back(words: list[str]) -> None:
    job = JobSpec(name="fit", command=(*SHOW, *words), image=IMAGE)
    assert told(f"exec {shell_command(job)}") == words


def test_a_slurm_script_drops_what_the_shell_has_set(tmp_path: Path) -> None:
    """Also what a site has made readonly, which nobody can unset."""
    image = JobImage(ImageKind.SIF_FILE, "/images/fit.sif")
    job = JobSpec(name="fit", command=("env",), image=image)
    site = Site(lines=("readonly TMOUT=900", "export TMOUT"))
    text = render_slurm(job, site, str(tmp_path)).files["fit.sbatch"]
    apptainer = tmp_path / "apptainer"
    apptainer.write_text(
        '#!/bin/sh\nuntil [ "$1" = /images/fit.sif ]; do shift; done\nshift\n"$@"\n'
    )
    apptainer.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": "/leaks", "SLURM_JOB_ID": "1"}
    words = ["bash", "-c", text]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "SLURM_JOB_ID=1" in done.stdout
    assert "TMOUT" not in done.stdout
    assert "PYTHONPATH" not in done.stdout


ITEM = st.text(st.characters(codec="utf-8", exclude_characters="\0\n"), min_size=1)


@settings(max_examples=60, deadline=None)
@given(st.lists(ITEM, min_size=1, max_size=5), WORDS, st.data())
def test_items_are_given_back(items: list[str], words: list[str], data: st.DataObject) -> None:
    """Also those that look like the end of a list, or like shell."""
    items += ["ITEMS", "$(id)", "it's"]
    index = data.draw(st.integers(0, len(items) - 1))
    job = JobSpec(
        name="fit",
        command=(*SHOW, *words, "<{item}>", "{index}"),
        image=IMAGE,
        tasks=Tasks(0, len(items) - 1),
        items=tuple(items),
    )
    want = [word.replace("{item}", items[index]).replace("{index}", str(index)) for word in words]
    assert told(task_script(job, '"$1"'), str(index)) == [*want, f"<{items[index]}>", str(index)]


def condor_words(value: str) -> list[str]:
    """The "new syntax" of ``arguments``: quotes around all of it, single quotes around words."""
    assert value[0] == value[-1] == '"'
    text = re.sub('""', '"', value[1:-1])
    words: list[str] = []
    at, word, begun, quoted = 0, "", False, False
    while at < len(text):
        character = text[at]
        if quoted and text[at : at + 2] == "''":
            word, at = word + "'", at + 1
        elif character == "'":
            quoted, begun = not quoted, True
        elif character.isspace() and not quoted:
            if begun:
                words.append(word)
            word, begun = "", False
        else:
            word, begun = word + character, True
        at += 1
    return [*words, word] if begun else words


@given(WORDS)
def test_condor_gives_the_words_back(words: list[str]) -> None:
    """Where a submit file cannot hold them, a script does."""
    job = JobSpec(name="fit", command=(*SHOW, *words), image=IMAGE)
    files = render_htcondor(job, Site(), "/jobs/fit-1").files
    row = re.search(r"^arguments += (.*)$", files["fit.sub"], re.MULTILINE)
    if "fit.sh" in files:
        assert row is None
        assert any(
            ord(character) < 32 or character in "$\x7f" for word in words for character in word
        )
        assert told(files["fit.sh"]) == words
    else:
        assert row is not None
        assert condor_words(row[1]) == list(job.command)
        assert "$" not in row[1]
