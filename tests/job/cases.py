"""Jobs that several tests render, by name."""

from __future__ import annotations

from pixi_ship.job.site import Launcher, Site
from pixi_ship.job.spec import ImageKind, JobImage, JobSpec, Resources, Tasks

HEX = "4a" * 32
IMAGE = JobImage(ImageKind.LAYERS, f"ghcr.io/me/fit@sha256:{HEX}", HEX, "12.4")
SIF = JobImage(ImageKind.SIF_IN_REGISTRY, f"ghcr.io/me/fit@sha256:{HEX}", HEX)
FILE = JobImage(ImageKind.SIF_FILE, "/data/it's/fit.sif")
GIB = 1 << 30

JOBS = {
    "plain": JobSpec(name="fit", command=("python", "train.py", "--seed", "1"), image=IMAGE),
    "resources": JobSpec(
        name="fit",
        command=("python", "train.py"),
        image=IMAGE,
        resources=Resources(
            cpus=8,
            memory=(3 * GIB) // 2 + 1,
            disk=20 * GIB,
            time=129600,
            gpus=2,
            gpu_memory=16 * GIB,
            gpu_capability="8.0",
        ),
    ),
    "array": JobSpec(
        name="fit",
        command=("python", "train.py", "--seed={index}", 'it\'s a "test"'),
        image=SIF,
        tasks=Tasks(1, 10, 3, 2),
        inputs=("/home/me/train.py", "/home/me/data"),
        outputs=("model.pt", "plots"),
        env={"MODE": "fast", "WORDS": "a b"},
    ),
    "items": JobSpec(
        name="each",
        command=("process", "{item}", "--number", "{index}"),
        image=FILE,
        tasks=Tasks(0, 2),
        items=("a.root", "b.root", "c/d.root"),
    ),
    "odd-words": JobSpec(
        name="odd",
        command=("printf", "%s\n", "$HOME", "$(date)", "a\nb", "", "{item}"),
        image=FILE,
        tasks=Tasks(0, 1),
        items=("a b", "it's $5"),
        env={"COST": "$5"},
    ),
    "literal-places": JobSpec(name="fit", command=("echo", "{index}", "{item}"), image=IMAGE),
    "workdir": JobSpec(name="fit", command=("ls",), image=IMAGE, workdir="/job", inputs=("/a b",)),
    "mail": JobSpec(
        name="fit", command=("true",), image=IMAGE, tasks=Tasks(0, 9), mail="me+fit@example.org"
    ),
}
SITE = Site(
    partition="gpu",
    account="physics",
    images="/scratch/$USER/images",
    modules=("apptainer/1.4",),
    lines=("ulimit -c 0",),
    options={"mail-type": "END,FAIL"},
    requirements=("HasSingularity", "Memory > 1000 || IsBig"),
    attributes={"ProjectName": '"fit"'},
    commands={"max_retries": "2"},
    common_image=True,
)
LAUNCHERS = {launcher: Site(launcher=launcher) for launcher in Launcher}
