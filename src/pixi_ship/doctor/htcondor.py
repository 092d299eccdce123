"""What HTCondor says of its pool, asked from an access point.

Source: HTCondor manual 25, "Machine ClassAd attributes", condor_status(1).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass

from pixi_ship.doctor.questions import Questions

_ATTRIBUTES = (
    *("Machine", "TotalSlotCpus", "TotalSlotMemory", "TotalSlotGPUs", "GPUs_Capability"),
    *("GPUs_GlobalMemoryMb", "GPUs_DeviceName", "HasSingularity", "HasDocker"),
    "HasCommonFilesTransfer",
)
_VERSION = re.compile(r"CondorVersion: (\S+)")
_MIB = 1 << 20
_COMMON_IMAGES = 2  # the version of HasCommonFilesTransfer that keeps images


@dataclass(frozen=True, slots=True)
class GpuKind:
    """GPUs of one kind; memory in bytes; capability such as 8.0, both 0 where not known."""

    name: str
    capability: float
    memory: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool of HTCondor; apptainer, docker, common_images: how many of its slots have them.

    Slots: whole machines, or the parts that a machine is divided into for good.
    """

    version: str
    slots: int = 0
    cpus: int = 0
    gpus: tuple[GpuKind, ...] = ()
    apptainer: int = 0
    docker: int = 0
    common_images: int = 0


def ask_htcondor(questions: Questions) -> Pool | None:
    """The pool that this machine submits to; None where there is none."""
    version = questions.answer("condor_version")
    if version is None:
        return None
    status = questions.answer(
        *("condor_status", "-json", "-constraint", 'SlotType =!= "Dynamic"'),
        *("-attributes", ",".join(_ATTRIBUTES)),
    )
    found = _VERSION.search(version)
    return parse_pool(status or "", found[1] if found else "")


def parse_pool(text: str, version: str) -> Pool:
    """Add up the slots in a list of JSON; what is none adds nothing."""
    try:
        document = json.loads(text) if text.strip() else []
    except (ValueError, RecursionError):
        document = []
    listed = document if isinstance(document, list) else []
    slots = [each for each in listed if isinstance(each, dict)]
    gpus: Counter[tuple[str, float, int]] = Counter()
    for slot in slots:
        if (count := int(_number(slot, "TotalSlotGPUs"))) > 0:
            memory = int(_number(slot, "GPUs_GlobalMemoryMb")) * _MIB
            name = str(slot.get("GPUs_DeviceName", "unknown"))
            gpus[name, _number(slot, "GPUs_Capability"), memory] += count
    return Pool(
        version=version,
        slots=len(slots),
        cpus=int(sum(_number(each, "TotalSlotCpus") for each in slots)),
        gpus=tuple(GpuKind(*kind, count) for kind, count in sorted(gpus.items())),
        apptainer=sum(each.get("HasSingularity") is True for each in slots),
        docker=sum(each.get("HasDocker") is True for each in slots),
        common_images=sum(
            _number(each, "HasCommonFilesTransfer") >= _COMMON_IMAGES for each in slots
        ),
    )


def _number(slot: dict[str, object], name: str) -> float:
    value = slot.get(name)
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e15 else 0.0
