"""What is rendered for other things than schedulers, to the byte: files in golden/.

    REWRITE_GOLDEN=1 python -m pytest tests/targets/test_golden.py

writes them anew; then look at what changed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pixi_ship.errors import UsageError
from pixi_ship.job.site import Launcher, Site
from pixi_ship.job.spec import JobFiles, JobSpec, Resources, Tasks
from pixi_ship.targets.known import TARGETS

from ..job.cases import GIB, IMAGE, JOBS, SIF, SITE
from ..job.golden_files import assert_golden

GOLDEN = Path(__file__).with_name("golden")
DIRECTORY = "/home/me"
RESOURCES = JOBS["resources"].resources

ARRAY = replace(JOBS["array"], resources=Resources(cpus=2, memory=GIB, gpus=1))
ITEMS = replace(JOBS["odd-words"], image=IMAGE)
CASES: dict[str, JobSpec] = {
    "kubernetes-plain": JOBS["plain"],
    "kubernetes-resources": JOBS["resources"],
    "kubernetes-array": replace(ARRAY, image=IMAGE, inputs=(), outputs=()),
    "kubernetes-odd-words": ITEMS,
    "snakemake-plain": replace(JOBS["plain"], inputs=("/home/me/train.py", "/data/a.csv")),
    "snakemake-resources": JOBS["resources"],
    "snakemake-array": replace(ARRAY, outputs=("model.pt", "plots/")),
    "snakemake-odd-words": JOBS["odd-words"],
    "nextflow-plain": JOBS["plain"],
    "nextflow-resources": JOBS["resources"],
    "nextflow-array": ARRAY,
    "nextflow-items": JOBS["items"],
    "dask-jobqueue-plain": JobSpec(
        name="fit", command=("python",), image=IMAGE, resources=Resources(memory=GIB)
    ),
    "dask-jobqueue-resources": JobSpec(
        name="fit",
        command=("python", "-O"),
        image=SIF,
        resources=RESOURCES,
        tasks=Tasks(0, 9),
        env={"WORDS": "it's a b"},
        mail="me@example.org",
    ),
}


def target_of(name: str) -> str:
    return next(each for each in TARGETS if name.startswith(each))


def rendered(name: str, job: JobSpec, site: Site) -> JobFiles:
    return TARGETS[target_of(name)].render(job, site, DIRECTORY)


def held(name: str, files: JobFiles) -> None:
    assert_golden(GOLDEN / f"{name}.txt", files)


@pytest.mark.parametrize("name", CASES)
def test_target(name: str) -> None:
    held(name, rendered(name, CASES[name], Site()))


@pytest.mark.parametrize("name", ["snakemake", "nextflow", "dask-jobqueue"])
def test_a_site(name: str) -> None:
    job = replace(JOBS["resources"], command=("python",))
    held(f"{name}-site", rendered(name, job, replace(SITE, constraint="a100&ib", qos="long")))


def change(target: str, **values: object) -> tuple[str, JobSpec]:
    job = replace(JOBS["plain"], resources=Resources(memory=GIB), **values)  # type: ignore[arg-type]
    return target, job


REFUSED = {
    "a SIF for Kubernetes": (*change("kubernetes", image=SIF), "cannot start oras://"),
    "an input for Kubernetes": (*change("kubernetes", inputs=("/a",)), "carries no files"),
    "an output for Kubernetes": (*change("kubernetes", outputs=("a",)), "carries no files"),
    "more tasks than a Job has": (*change("kubernetes", tasks=Tasks(0, 100_000)), "too many"),
    "more items than a script has": (
        *change("kubernetes", tasks=Tasks(0, 1), items=("a" * 99_000, "b" * 99_000)),
        "120000 fit",
    ),
    "a wildcard for Snakemake": (*change("snakemake", outputs=("{a}",)), "for a wildcard"),
    "a directory for Snakemake": (*change("snakemake", workdir="/job"), "chooses the directory"),
    "a pattern for Nextflow": (*change("nextflow", outputs=("*.pt",)), "for a pattern"),
    "two lines for Nextflow": (*change("nextflow", command=("a\nb",)), "line break"),
    "blanks for Nextflow": (*change("nextflow", tasks=Tasks(0, 0), items=("a ",)), "blanks"),
    "a directory for Nextflow": (*change("nextflow", workdir="/job"), "chooses the directory"),
    "files for Dask": (*change("dask-jobqueue", inputs=("/a",)), "to its workers itself"),
    "a line for Dask": (*change("dask-jobqueue", env={"A": "$5"}), "cannot hold"),
}
REFUSED |= {
    f"an order for {target}": (*change(target, after=("1",)), "after|itself") for target in TARGETS
}


@pytest.mark.parametrize(("target", "job", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(target: str, job: JobSpec, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TARGETS[target].render(job, Site(), DIRECTORY)


def test_what_dask_must_be_told() -> None:
    with pytest.raises(UsageError, match="memory"):
        rendered("dask-jobqueue", JOBS["plain"], Site())
    target, job = change("dask-jobqueue")
    with pytest.raises(UsageError, match="podman"):
        rendered(target, job, Site(launcher=Launcher.PODMAN))


@pytest.mark.parametrize("name", [each for each in TARGETS if each != "nextflow"])
def test_nobody_waits_for_a_mail_in_vain(name: str) -> None:
    target, job = change(name, mail="me@example.org")
    assert any("no mail" in note for note in rendered(target, job, Site()).notes)
