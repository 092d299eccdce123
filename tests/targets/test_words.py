"""The words of a command arrive unchanged through what each target makes of its text.

What Kubernetes, Snakemake and Nextflow do to a text is put down again here, from their manuals.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import types
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pixi_ship.job.site import Site
from pixi_ship.job.spec import JobSpec, Resources, Tasks
from pixi_ship.targets.dask_jobqueue import render_dask_jobqueue
from pixi_ship.targets.kubernetes import render_kubernetes
from pixi_ship.targets.nextflow import render_nextflow
from pixi_ship.targets.snakemake import render_snakemake

from ..job.cases import GIB, IMAGE, SITE

SHOW = (sys.executable, "-c", "import sys; sys.stdout.write(repr(sys.argv[1:]))")
WORD = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
SHELL = st.text("ab ${}()'\"\\\n`#\t", max_size=8)
WORDS = st.lists(st.one_of(WORD, SHELL), max_size=6)
LINE = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")))
ITEMS = ["a b", "it's $5", "$(id)", "{x}", "ITEMS"]


def shown(words: list[str], **variables: str) -> list[str]:
    """What a command that shows its words shows."""
    env = {"PATH": "/usr/bin:/bin", **variables}
    done = subprocess.run(words, capture_output=True, check=True, env=env)
    found: list[str] = ast.literal_eval(done.stdout.decode())
    return found


def wanted(words: list[str], number: int) -> list[str]:
    filled = [
        word.replace("{item}", ITEMS[number]).replace("{index}", str(number)) for word in words
    ]
    return [*filled, ITEMS[number], str(number)]


def one(words: list[str]) -> JobSpec:
    return JobSpec(name="fit", command=(*SHOW, *words), image=IMAGE)


def several(words: list[str]) -> JobSpec:
    command = (*SHOW, *words, "{item}", "{index}")
    return replace(one([]), command=command, tasks=Tasks(0, len(ITEMS) - 1), items=tuple(ITEMS))


def expanded(text: str, variables: dict[str, str]) -> str:
    """``$$`` is a dollar, ``$(NAME)`` a variable that is known; all else stays."""

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else variables.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", value, text)


def container(job: JobSpec) -> dict[str, Any]:
    (text,) = render_kubernetes(job, Site(), "/").files.values()
    found: dict[str, Any] = yaml.safe_load(text)["spec"]["template"]["spec"]["containers"][0]
    return found


KNOWN = {"HOME": "/wrong", "id": "wrong", "a": "wrong", "": "wrong"}


@settings(max_examples=40, deadline=None)
@given(WORDS)
def test_kubernetes(words: list[str]) -> None:
    words += ["$(HOME)", "$$(id)", "$$", "$"]
    args = container(one(words))["args"]
    assert [expanded(each, KNOWN) for each in args] == [*SHOW, *words]


@settings(max_examples=20, deadline=None)
@given(WORDS, st.integers(0, len(ITEMS) - 1))
def test_kubernetes_with_items(words: list[str], number: int) -> None:
    args = [expanded(each, KNOWN) for each in container(several(words))["args"]]
    assert shown(args, JOB_COMPLETION_INDEX=str(number)) == wanted(words, number)


def test_kubernetes_counts_from_where_it_was_told() -> None:
    job = replace(one(["{index}"]), tasks=Tasks(3, 11, 4))
    args = [expanded(each, KNOWN) for each in container(job)["args"]]
    found = [shown(args, JOB_COMPLETION_INDEX=str(each)) for each in range(3)]
    assert found == [["3"], ["7"], ["11"]]


@settings(max_examples=20, deadline=None)
@given(WORD)
def test_variables_of_kubernetes(value: str) -> None:
    (variable,) = container(replace(one([]), env={"A": value}))["env"]
    assert expanded(variable["value"], KNOWN) == value


def snakemake_shell(text: str, index: int) -> str:
    """The strings after ``shell:``, formatted as Snakemake does."""
    command: str = ast.literal_eval(f"({text.partition('    shell:')[2]})")
    return command.format(wildcards=types.SimpleNamespace(index=index))


@settings(max_examples=40, deadline=None)
@given(WORDS)
def test_snakemake(words: list[str]) -> None:
    (text,) = render_snakemake(one(words), Site(), "/").files.values()
    assert shown(["sh", "-c", snakemake_shell(text, 0)]) == words


@settings(max_examples=20, deadline=None)
@given(WORDS, st.integers(0, len(ITEMS) - 1))
def test_snakemake_with_items(words: list[str], number: int) -> None:
    (text,) = render_snakemake(several(words), Site(), "/").files.values()
    # But for the directory of the task, which this test has no need of.
    script = re.sub(
        r'(?m)^(mkdir -p|cd) "task-\$index"$', "", snakemake_shell(text, number), count=2
    )
    assert shown(["sh", "-c", script]) == wanted(words, number)


def nextflow_script(text: str, index: int) -> str:
    """The string in single quotes, as Groovy reads it, after the line with the number."""
    found = re.search(r"'''(.*?)(?<!\\)'''\n\}", text, re.DOTALL)
    assert found is not None
    return f"index={index}\n" + re.sub(r"\\(.)", r"\1", found[1])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(LINE, st.text("a'\\$ \"{}", max_size=8)), max_size=6))
def test_nextflow(words: list[str]) -> None:
    (text,) = render_nextflow(one(words), Site(), "/").files.values()
    assert shown(["bash", "-uec", nextflow_script(text, 0)]) == words


@pytest.mark.parametrize("number", range(len(ITEMS)))
def test_nextflow_with_items(number: int) -> None:
    words = ["'''", "\\'", "\\u0041", "C:\\new", "${x}"]
    (text,) = render_nextflow(several(words), Site(), "/").files.values()
    assert shown(["bash", "-uec", nextflow_script(text, number)]) == wanted(words, number)


class Cluster:
    """What the module that is written for Dask would start."""

    def __init__(self, **given: Any) -> None:
        self.given = given
        self.jobs = 0

    def scale(self, jobs: int) -> None:
        self.jobs = jobs


def test_dask_is_called_with_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    job = JobSpec(
        name="fit",
        command=("python", "-X", "utf8"),
        image=IMAGE,
        resources=Resources(cpus=4, memory=GIB, gpus=1, gpu_capability="8.0"),
        tasks=Tasks(1, 9, 4),
        env={"WORDS": 'it\'s "a" \\ b'},
    )
    (text,) = render_dask_jobqueue(job, SITE, "/").files.values()
    stub = types.ModuleType("dask_jobqueue")
    stub.__dict__.update(SLURMCluster=Cluster, HTCondorCluster=Cluster)
    monkeypatch.setitem(sys.modules, "dask_jobqueue", stub)
    module: dict[str, Any] = {}
    exec(compile(text, "fit_workers.py", "exec"), module)
    slurm, htcondor = module["slurm"](cores=8), module["htcondor"](workers=7)
    assert (slurm.jobs, slurm.given["cores"], slurm.given["queue"]) == (3, 8, "gpu")
    assert slurm.given["python"].endswith('"$sif" python -X utf8')
    last = slurm.given["job_script_prologue"][-1]
    assert last.startswith("export WORDS=")
    command = f"{last}; {sys.executable} -c 'import os; print([os.environ[\"WORDS\"]])'"
    assert shown(["sh", "-c", command]) == [job.env["WORDS"]]
    assert (htcondor.jobs, htcondor.given["cores"]) == (7, 4)
    assert htcondor.given["job_extra_directives"]["gpus_minimum_capability"] == "8.0"
