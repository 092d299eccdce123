"""The rules that hadolint and BuildKit's own checks hold Dockerfiles to, on what is rendered.

hadolint itself judges where there is one. The rules here are those of its that the recipe could
break, each named by its number there, and BuildKit's (docs.docker.com, "Build checks") by their
names.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import pytest

from pixi_ship.classic.apptainer import definition
from pixi_ship.classic.dockerfile import dockerfile, dockerignore

from .routes import ROUTES

_KNOWN = {"FROM", "ARG", "WORKDIR", "COPY", "ENV", "RUN", "ENTRYPOINT", "CMD"}


@dataclass(frozen=True)
class Instruction:
    """One of a Dockerfile, its lines joined."""

    name: str
    words: str

    @property
    def copied(self) -> list[str]:
        """The words of a COPY in JSON form, which follow its flags."""
        found: list[str] = json.loads(re.sub(r"^(--\S+ )*", "", self.words))
        return found


def instructions(text: str) -> Iterator[Instruction]:
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in joined.splitlines():
        if line and not line.startswith("#"):
            name, _, words = line.partition(" ")
            yield Instruction(name, words)


def of(text: str, name: str) -> list[Instruction]:
    return [each for each in instructions(text) if each.name == name]


@pytest.fixture(params=ROUTES)
def text(request: pytest.FixtureRequest) -> str:
    return dockerfile(ROUTES[request.param])


def test_hadolint(text: str) -> None:
    # Installed beside this Python, whose scripts need not be on PATH.
    beside = sysconfig.get_path("scripts")
    program = shutil.which("hadolint", path=beside) or shutil.which("hadolint")
    if program is None:
        pytest.skip("not on this machine: hadolint")
    done = subprocess.run([program, "--no-color", "-"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_instructions_are_known_and_in_capitals(text: str) -> None:
    """ConsistentInstructionCasing; and no name of a workspace begins a line of its own."""
    assert {each.name for each in instructions(text)} == _KNOWN


def test_stages(text: str) -> None:
    """DL3006, DL3007, DL3024, StageNameCasing: tagged images, stages with names of their own."""
    stages = [each.words.split(" ") for each in of(text, "FROM")]
    assert [words[1:] for words in stages] == [["AS", "build"], ["AS", "final"]]
    assert all(re.search(r":[\w.-]+\Z", words[0]) for words in stages)
    assert not any(words[0].endswith(":latest") for words in stages)


def test_copies(text: str) -> None:
    """DL3010, DL3020, DL3021, DL3022, DL3045: COPY from known stages, to set places."""
    workdir = text.index("WORKDIR /app")
    assert workdir < text.index("COPY")
    for each in of(text, "COPY"):
        flags = re.match(r"(?:--\S+ )*", each.words)
        assert flags is not None
        assert set(flags[0].split()) <= {"--from=build", "--chmod=0755"}
        *sources, dest = each.copied
        assert len(sources) == 1 or dest.endswith("/")
        assert not any(source.startswith("..") for source in sources)


def test_runs(text: str) -> None:
    """DL3003, DL3004, DL3059, DL4006: no cd, no sudo, no pipe whose failure is lost."""
    runs = [each.words for each in of(text, "RUN")]
    assert len(runs) == 2
    for each in runs:
        assert not re.search(r"(^|[;&] *)(cd|sudo) ", each)
        assert "|" not in each
        # A failure of the first command of several would be lost behind a semicolon.
        assert ";" not in each.replace("; }", "")


def test_arguments(text: str) -> None:
    """UndefinedVar, UndefinedArgInFrom, SC2086: variables are declared in their stage, quoted."""
    declared: set[str] = set()
    for each in instructions(text):
        if each.name == "FROM":
            declared = set()
            assert "$" not in each.words
        elif each.name == "ARG":
            declared.add(each.words.partition("=")[0])
        else:
            used = set(re.findall(r"\$(\w+)", each.words))
            assert used <= declared
        if each.name == "RUN":
            assert not re.search(r'(?<!")\$\w', each.words)


def test_json_forms(text: str) -> None:
    """DL3025, JSONArgsRecommended, MultipleInstructionsDisallowed: one of each, in JSON."""
    for name in ("ENTRYPOINT", "CMD"):
        (each,) = of(text, name)
        assert isinstance(json.loads(each.words), list)


def test_absolute_places(text: str) -> None:
    """DL3000, WorkdirRelativePath."""
    assert {each.words for each in of(text, "WORKDIR")} == {"/app"}


def test_nothing_secret(text: str) -> None:
    """SecretsUsedInArgOrEnv."""
    words = [each.words for each in instructions(text) if each.name in ("ARG", "ENV")]
    assert not any(re.search(r"(?i)token|secret|passw|key|auth", each) for each in words)


@pytest.mark.parametrize("name", ROUTES)
def test_everything_copied_is_let_through(name: str) -> None:
    """CopyIgnoredFile: the ignore file lets through what the Dockerfile copies, and no more."""
    route = ROUTES[name]
    first, *lines = dockerignore(route).splitlines()
    let_through = [line[1:] for line in lines if line.startswith("!")]
    copied = [
        source
        for each in of(dockerfile(route), "COPY")
        if "--from" not in each.words
        for source in each.copied[:-1]
    ]
    assert first == "*"
    assert sorted(let_through) == sorted(copied)


@pytest.mark.parametrize("name", ROUTES)
def test_definition_has_its_sections(name: str) -> None:
    """Apptainer, `validSections`: it refuses others; braces must name an argument of the stage."""
    text = definition(ROUTES[name])
    known = ["arguments", "files", "post", "environment", "runscript", "startscript", "test"]
    for stage in re.split(r"(?m)^Bootstrap: ", text)[1:]:
        assert stage.startswith("docker\nFrom: ")
        sections = re.findall(r"(?m)^%(\w+)", stage)
        assert set(sections) <= set(known)
        declared = set(re.findall(r"(?m)^    ([A-Z_]+)=", stage))
        assert set(re.findall(r"{{ (\w+) }}", stage)) <= declared
    for line in re.findall(r'(?m)^    ("?[./\w][^\n]* "?/[^\n]*)$', text):
        assert line.count('"') % 2 == 0


@pytest.mark.parametrize("name", ROUTES)
def test_places_are_absolute_and_clean(name: str) -> None:
    for each in of(dockerfile(ROUTES[name]), "COPY"):
        dest = each.copied[-1]
        assert dest == "./" or (dest.startswith("/") and ".." not in PurePosixPath(dest).parts)
