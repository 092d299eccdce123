"""A job as a batch script for Slurm.

Source: sbatch(1), srun(1), sbcast(1); Apptainer's user guide on environment; pyxis' README. The
container takes host variables in, among them those that would change a Python in it.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Callable

from pixi_ship.errors import UsageError
from pixi_ship.job.quantity import MIB, rounded_up, slurm_time
from pixi_ship.job.quote import shell_command
from pixi_ship.job.script import export_lines, item_lines
from pixi_ship.job.site import OWN_IMAGES, Launcher, Site
from pixi_ship.job.spec import ImageKind, JobFiles, JobSpec, Resources

# Of what the submitting shell and the node have set, the job sees no more than this: what
# Slurm, GPUs, proxies and the container's runtime need.
_KEPT = (
    *("HOME", "USER", "LOGNAME", "PATH", "LANG", "LC_*", "TZ", "TMPDIR", "XDG_RUNTIME_DIR"),
    *("SLURM*", "CUDA_*", "NVIDIA_*", "GPU_*", "ROCR_*", "HIP_*", "ZE_*"),
    *("APPTAINER*", "SINGULARITY*", "*_proxy", "*_PROXY"),
)
_JOBS = "pixi-ship-jobs-$(id -u)"
_MOST_PACKED = 2 << 20  # bytes; Slurm takes scripts of 4 MiB


def render_slurm(job: JobSpec, site: Site, directory: str, packed: bytes = b"") -> JobFiles:
    """Write the batch script of a job.

    directory: absolute path of where the script is, and where output goes. packed: the inputs
    as a gzipped tar, where nodes do not see them. Raises UsageError for what cannot be.
    """
    notes: list[str] = []
    lines = [
        # Only a login shell knows "module".
        f"#!/bin/bash{' -l' if site.modules else ''}",
        f"# {job.name}: submit it with  sbatch {job.name}.sbatch",
        *(f"#SBATCH --{option}" for option in _options(job, site, directory, notes)),
        "",
        "set -e",
        *(f"module load {shlex.quote(name)}" for name in site.modules),
        *site.lines,
        "set -u",
        "for name in $(compgen -e); do",
        # Not "unset", which ends the script where a site has made a variable readonly.
        f'  case $name in {"|".join(_KEPT)}) ;; *) export -n "$name" ;; esac',
        "done",
        *_enter(job, site, directory),
        *_task(job, site, packed),
        "",
        *_LAUNCHERS[site.launcher](job, site, directory),
    ]
    name = f"{job.name}.sbatch"
    submit = ("sbatch", "--parsable", *_after(job), name)
    fetch = None
    if not site.shared:
        where = (f"--{name}={value}" for name, value in _where(site).items())
        fetch = (("srun", "--quiet", "--chdir=/", *where), f"{site.scratch}/{_JOBS}")
    return JobFiles({name: "\n".join(lines) + "\n"}, submit, tuple(notes), fetch)


def _options(job: JobSpec, site: Site, directory: str, notes: list[str]) -> list[str]:
    place = f"{directory}/task-%a" if job.tasks is not None else directory
    # Without a shared directory the script itself says where its output goes.
    out, err = (f"{_option_path(place)}/{name}.txt" for name in ("stdout", "stderr"))
    if not site.shared:
        out = err = "/dev/null"
    rows = [
        f"job-name={job.name}",
        f"output={out}",
        f"error={err}",
        *(() if site.shared else ("chdir=/",)),
        # Anything else, and Slurm asks a login shell on the node for its variables, and holds
        # the job where that fails; the script drops what is not the job's business.
        "export=ALL",
        "nodes=1",
        "ntasks=1",
        *_requests(job.resources, notes),
    ]
    if job.tasks is not None:
        tasks = job.tasks
        step = f":{tasks.step}" if tasks.step != 1 else ""
        at_once = f"%{tasks.at_once}" if tasks.at_once else ""
        rows.append(f"array={tasks.first}-{tasks.last}{step}{at_once}")
    rows += [f"{name}={shlex.quote(value)}" for name, value in _where(site).items()]
    rows += [f"constraint={shlex.quote(site.constraint)}"] if site.constraint else []
    rows += [f"{name}={shlex.quote(value)}" for name, value in site.options.items()]
    if job.mail:  # one for a whole array, without ARRAY_TASKS
        rows += [f"mail-user={job.mail}", "mail-type=END,FAIL"]
    return rows


def _where(site: Site) -> dict[str, str]:
    """Options that any command needs to be let in."""
    rows = {"partition": site.partition, "account": site.account, "qos": site.qos}
    return {name: value for name, value in rows.items() if value}


def _option_path(path: str) -> str:
    """A path for an option; sbatch replaces ``%`` and letters in it, a space or ``#`` ends it."""
    if any(character in path.replace("%a", "") for character in "% \t\n\r\"'\\#"):
        raise UsageError(
            f"{path!r} cannot be where Slurm writes",
            hint="choose a directory without spaces, quotes, # or %",
        )
    return path


def _requests(wanted: Resources, notes: list[str]) -> list[str]:
    rows = [f"cpus-per-task={wanted.cpus}"]
    if wanted.memory:
        rows.append(f"mem={rounded_up(wanted.memory, MIB)}M")
    if wanted.disk:
        rows.append(f"tmp={rounded_up(wanted.disk, MIB)}M")
    if wanted.time:
        rows.append(f"time={slurm_time(wanted.time)}")
    if wanted.gpus:
        rows.append(f"gres=gpu:{wanted.gpus}")
        for name, value in (
            ("--gpu-memory", wanted.gpu_memory),
            ("--gpu-capability", wanted.gpu_capability),
        ):
            if value:
                notes.append(f"Slurm knows no {name}: name such nodes by the site's constraint")
    return rows


def _after(job: JobSpec) -> list[str]:
    return [f"--dependency=afterok:{':'.join(job.after)}"] if job.after else []


def _enter(job: JobSpec, site: Site, directory: str) -> list[str]:
    """Lines that lead into the task's directory, and say where its output goes."""
    task = "" if job.tasks is None else "/task-$index"
    lines = [] if job.tasks is None else ["index=$SLURM_ARRAY_TASK_ID"]
    if site.shared:
        return [
            *lines,
            f'cd {shlex.quote(directory)}"{task}"' if task else f"cd {shlex.quote(directory)}",
        ]
    identifier = "$SLURM_JOB_ID" if job.tasks is None else "$SLURM_ARRAY_JOB_ID"
    return [
        *lines,
        f'jobs="{site.scratch}/{_JOBS}"',
        *_own("jobs"),
        f'task="$jobs/{identifier}{task}"',
        'mkdir -p "$task"',
        'cd "$task"',
        "exec >stdout.txt 2>stderr.txt",
    ]


def _task(job: JobSpec, site: Site, packed: bytes) -> list[str]:
    # Slurm forgets a job soon after its end; a task that is run anew has no code yet, and one
    # that is cancelled never.
    lines = [
        "rm -f exit-code",
        "trap 'echo $? >exit-code' EXIT",
        "trap 'trap - EXIT; exit 143' TERM",
        *item_lines(job.items),
    ]
    if job.inputs and site.shared:
        lines.append(f"cp -R {' '.join(shlex.quote(path) for path in job.inputs)} .")
    elif job.inputs:
        lines += _unpacked(packed)
    return [*lines, *export_lines(job)]


def _unpacked(packed: bytes) -> list[str]:
    """Lines that unpack what travels in the script itself: Slurm takes that to the node."""
    if len(packed) > _MOST_PACKED:
        raise UsageError(
            f"the inputs have {len(packed)} bytes, too many to travel in a job script",
            hint="let the job fetch them, or name a site whose nodes see this directory",
        )
    text = base64.encodebytes(packed).decode().splitlines()
    return ["base64 -d <<'INPUTS' | tar -xz", *text, "INPUTS"]


def _apptainer(job: JobSpec, site: Site, directory: str) -> list[str]:
    gpus = "--nv " if job.resources.gpus else ""
    pwd = shlex.quote(job.workdir) if job.workdir else '"$PWD"'
    bind = '"$PWD"' if not job.workdir else f'"$PWD:"{shlex.quote(job.workdir)}'
    return [
        *sif_lines(job, site),
        # The home directory stays outside: what pip left in it must not be imported.
        f"apptainer --quiet exec {gpus}--no-home --bind {bind} --pwd {pwd} "
        f'"$sif" {shell_command(job)}',
    ]


def sif_lines(job: JobSpec, site: Site) -> list[str]:
    """Lines that set ``sif`` to a file on the node, fetched once for all jobs there."""
    if job.image.kind is ImageKind.SIF_FILE:
        if not site.shared:
            raise UsageError(
                f"the nodes of this site do not see {job.image.place}",
                hint="push the SIF to a registry: build --to oras://HOST/NAME:TAG",
            )
        return [f"sif={shlex.quote(job.image.place)}"]
    if job.image.kind is ImageKind.SIF_AT_URL:
        raise UsageError(
            f"Slurm fetches no files, nor {job.image.place}",
            hint="name an image in a registry, or a sif: file that the nodes see",
        )
    return [
        f'images="{site.images}"',
        f'sif="$images/sha256-{job.image.digest}.sif"',
        # A directory that the site names may be another's, who looks after it.
        *(_own("images") if site.images == OWN_IMAGES else ['mkdir -p "$images"']),
        'if [ ! -e "$sif" ]; then',
        "  if command -v pixi-ship >/dev/null; then",
        "    # Of what another version here has, it fetches nothing.",
        f'    pixi-ship pull --quiet {_plain(job, "--plain-http ")}--to "$images" '
        f"{shlex.quote(job.image.url)} >&2 || true",
        "  fi",
        "fi",
        'if [ ! -e "$sif" ]; then',
        "  # One job of a node fetches the image, the others wait for it.",
        '  exec 9>"$images/.lock"',
        "  flock 9",
        '  if [ ! -e "$sif" ]; then',
        *(f"    {line}" for line in _pull(job, site)),
        "  fi",
        "  exec 9>&-",
        "fi",
    ]


def _own(name: str) -> list[str]:
    """Lines that make the directory in a variable, where others may have been before.

    In /tmp anybody can make a directory of any name, with an image in it.
    """
    return [
        f'mkdir -p -m 700 "${name}"',
        f'if [ ! -O "${name}" ] || [ -L "${name}" ]; then',
        f'  echo "${name} belongs to somebody else" >&2',
        "  exit 1",
        "fi",
    ]


def _pull(job: JobSpec, site: Site) -> list[str]:
    """Lines that make ``sif`` with Apptainer, one job at a time on each node."""
    # Apptainer keeps layers as they came; of a SIF, and of what it made, only second copies.
    layers = site.keep_layers and job.image.kind is ImageKind.LAYERS
    spare = '"$APPTAINER_CACHEDIR"/cache/oci-tmp' if layers else '"$APPTAINER_CACHEDIR"'
    return [
        "# What a job that was killed here has left.",
        'rm -f "$images"/sha256-*.tmp',
        'export APPTAINER_CACHEDIR="$images/.apptainer"',
        f'apptainer --quiet pull --force {_plain(job, "--no-https ")}"$sif.$SLURM_JOB_ID.tmp" '
        f"{shlex.quote(job.image.url)} >&2",
        'mv "$sif.$SLURM_JOB_ID.tmp" "$sif"',
        *(["# The layers stay: the next version needs few others."] if layers else []),
        f"rm -rf {spare}",
        "unset APPTAINER_CACHEDIR",
    ]


def _plain(job: JobSpec, option: str) -> str:
    """An option for a registry that speaks HTTP without TLS."""
    return option if job.image.plain_http else ""


def _pyxis(job: JobSpec, site: Site, directory: str) -> list[str]:
    if job.image.kind is not ImageKind.LAYERS:
        raise UsageError(
            f"pyxis cannot start {job.image.url}", hint="name the image in layers by docker://"
        )
    workdir = shlex.quote(job.workdir) if job.workdir else '"$PWD"'
    host, _, rest = job.image.place.partition("/")
    image = shlex.quote(f"{host}#{rest}")
    return [
        f'srun --export=ALL --container-image={image} --container-mounts="$PWD:"{workdir} '
        f"--container-workdir={workdir} --no-container-mount-home "
        f"{shell_command(job)}"
    ]


def _podman(job: JobSpec, site: Site, directory: str) -> list[str]:
    if job.image.kind is not ImageKind.LAYERS:
        raise UsageError(
            f"podman cannot start {job.image.url}", hint="name the image in layers by docker://"
        )
    gpus = "--device nvidia.com/gpu=all " if job.resources.gpus else ""
    workdir = shlex.quote(job.workdir) if job.workdir else '"$PWD"'
    given = "".join(f"--env {name} " for name in job.env)
    return [
        f"podman run --rm --userns keep-id {gpus}{given}"
        f"{_plain(job, '--tls-verify=false ')}"
        f'--volume "$PWD:"{workdir} --workdir {workdir} '
        f"{shlex.quote(job.image.place)} {shell_command(job)}"
    ]


_LAUNCHERS: dict[Launcher, Callable[[JobSpec, Site, str], list[str]]] = {
    Launcher.APPTAINER: _apptainer,
    Launcher.PYXIS: _pyxis,
    Launcher.PODMAN: _podman,
}
