"""A job as a Kubernetes Job.

Source: Kubernetes API reference, Job v1 and PodSpec v1; "Indexed Job for parallel processing";
labels of nodes from NVIDIA's gpu-feature-discovery. An array is an indexed Job, whose pods get
their number in ``JOB_COMPLETION_INDEX``.
"""

from __future__ import annotations

import re
from itertools import product

from pixi_ship.errors import UsageError
from pixi_ship.job.quantity import MIB, rounded_up
from pixi_ship.job.quote import shell_command
from pixi_ship.job.script import item_lines
from pixi_ship.job.site import Site
from pixi_ship.job.spec import ImageKind, JobFiles, JobSpec, Resources, Tasks
from pixi_ship.targets.yaml import Value, yaml_document

_NOT_IN_NAME = re.compile(r"[^a-z0-9-]+")
_LONGEST_NAME = 52  # characters; with its number a pod's host name may have 63
_MOST_TASKS = 100_000  # of an indexed Job whose tasks fail one by one
_LONGEST_SCRIPT = 120_000  # bytes; Linux takes 128 KiB in one argument
_EXPANDED = re.compile(r"\$(?=[$(])")
_DIRECTORY = "/job"
_LABEL = "nvidia.com"


def render_kubernetes(job: JobSpec, site: Site, directory: str) -> JobFiles:
    """Write the manifest of a job; raises UsageError for what a Job cannot do.

    A task's directory and /tmp are its own and vanish with it: Kubernetes carries no files.
    """
    del site, directory
    _check(job)
    notes = []
    if job.mail:
        notes.append("Kubernetes sends no mail")
    name = _name(job.name)
    document: dict[str, Value] = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {**_tasks(job.tasks), "template": {"spec": _pod(job, name)}},
    }
    file = f"{job.name}.yaml"
    text = f"# {job.name}: start it with  kubectl create -f {file}\n{yaml_document(document)}"
    return JobFiles({file: text}, ("kubectl", "create", "-f", file), tuple(notes))


def _check(job: JobSpec) -> None:
    if job.image.kind is not ImageKind.LAYERS:
        raise UsageError(
            f"Kubernetes cannot start {job.image.url}", hint="name the image in layers by docker://"
        )
    if job.inputs or job.outputs:
        raise UsageError(
            "Kubernetes carries no files: it takes neither --input nor --output",
            hint="let the command fetch and store them, or add a volume to what is rendered",
        )
    if job.after:
        raise UsageError(
            "Kubernetes starts no Job after another",
            hint="wait with: kubectl wait --for=condition=complete job/NAME",
        )
    if job.tasks is not None and len(job.tasks) > _MOST_TASKS:
        raise UsageError(f"{len(job.tasks)} tasks are too many for a Job, which has {_MOST_TASKS}")


def _name(name: str) -> str:
    """A label of DNS (RFC 1123): small letters, digits, dashes."""
    found = _NOT_IN_NAME.sub("-", name.lower())[:_LONGEST_NAME].strip("-")
    return found or "job"


def _tasks(tasks: Tasks | None) -> dict[str, Value]:
    if tasks is None:
        return {"backoffLimit": 0}
    return {
        "completionMode": "Indexed",
        "completions": len(tasks),
        "parallelism": min(tasks.at_once or len(tasks), len(tasks)),
        # With backoffLimit the first task that fails would end all others (Kubernetes 1.29).
        "backoffLimitPerIndex": 0,
    }


def _pod(job: JobSpec, name: str) -> dict[str, Value]:
    place = job.workdir or _DIRECTORY
    wanted = job.resources
    mounts: list[Value] = [{"name": "job", "mountPath": place}]
    volumes: list[Value] = [{"name": "job", "emptyDir": {}}]
    if place != "/tmp":  # noqa: S108 - in the container
        mounts.append({"name": "tmp", "mountPath": "/tmp"})  # noqa: S108
        volumes.append({"name": "tmp", "emptyDir": {}})
    container: dict[str, Value] = {
        "name": name,
        "image": job.image.place,
        # Not "command", which would take the place of the entrypoint that activates.
        "args": _words(job),
        "workingDir": place,
    }
    if job.env:
        container["env"] = [{"name": k, "value": _literal(v)} for k, v in job.env.items()]
    if amounts := _amounts(wanted):
        container["resources"] = {"requests": amounts, "limits": amounts}
    container["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container["volumeMounts"] = mounts
    pod: dict[str, Value] = {"restartPolicy": "Never", "automountServiceAccountToken": False}
    if wanted.time:
        # Of each pod: the Job's own would count the time until they start.
        pod["activeDeadlineSeconds"] = wanted.time
    if terms := _terms(wanted, job.image.cuda):
        needed = {"nodeSelectorTerms": terms}
        pod["affinity"] = {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": needed}
        }
    return {**pod, "containers": [container], "volumes": volumes}


def _words(job: JobSpec) -> list[Value]:
    """The command; that of an array is a script, which knows its number."""
    if job.tasks is None:
        return [_literal(word) for word in job.command]
    first, step = job.tasks.first, job.tasks.step
    index = "$JOB_COMPLETION_INDEX"
    if (first, step) != (0, 1):
        index = f"$((JOB_COMPLETION_INDEX * {step} + {first}))"
    lines = [f"index={index}", *item_lines(job.items), f"exec {shell_command(job)}"]
    script = "\n".join(lines) + "\n"
    if len(script.encode()) > _LONGEST_SCRIPT:
        raise UsageError(
            f"the items of --foreach make a script of {len(script.encode())} bytes, "
            f"and {_LONGEST_SCRIPT} fit into a Job",
            hint="put them into the image or a volume, and let the command pick by {index}",
        )
    return ["/bin/sh", "-c", _literal(script)]


def _literal(text: str) -> str:
    """Text that Kubernetes is not to expand: it reads ``$(NAME)``, and ``$$`` as ``$``."""
    return _EXPANDED.sub("$$", text)


def _amounts(wanted: Resources) -> dict[str, Value]:
    found: dict[str, Value] = {"cpu": str(wanted.cpus)}
    if wanted.memory:
        found["memory"] = f"{rounded_up(wanted.memory, MIB)}Mi"
    if wanted.disk:
        found["ephemeral-storage"] = f"{rounded_up(wanted.disk, MIB)}Mi"
    if wanted.gpus:
        found[f"{_LABEL}/gpu"] = str(wanted.gpus)
    return found


def _terms(wanted: Resources, cuda: str | None) -> list[Value]:
    """What a node must be like, as alternatives of which each is a list of conditions."""
    if not wanted.gpus:
        return []
    every = []
    if wanted.gpu_capability:
        every.append(_at_least("gpu.compute", wanted.gpu_capability))
    if cuda:
        every.append(_at_least("cuda.runtime", cuda))
    if wanted.gpu_memory:
        every.append([[_more("gpu.memory", rounded_up(wanted.gpu_memory, MIB) - 1)]])
    if not every:
        return []
    return [
        {"matchExpressions": [row for rows in each for row in rows]} for each in product(*every)
    ]


def _at_least(label: str, version: str) -> list[list[Value]]:
    """A later major version, or the same with a minor one that is no earlier."""
    major, minor = (int(each) for each in f"{version}.0".split(".")[:2])
    later: list[Value] = [_more(f"{label}.major", major)]
    if minor == 0:
        return [[_more(f"{label}.major", major - 1)]]
    same: Value = {"key": f"{_LABEL}/{label}.major", "operator": "In", "values": [str(major)]}
    return [later, [same, _more(f"{label}.minor", minor - 1)]]


def _more(label: str, number: int) -> Value:
    return {"key": f"{_LABEL}/{label}", "operator": "Gt", "values": [str(number)]}
