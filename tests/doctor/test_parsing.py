"""What schedulers, module commands and the kernel print is understood, and nonsense is survived.

The texts in data/ were printed by Slurm 26.05, HTCondor 25.14 and Environment Modules 5.2; the
one of Lmod is put together from its guide.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixi_ship.doctor.filesystem import mount_of, parse_mounts
from pixi_ship.doctor.htcondor import GpuKind, parse_pool
from pixi_ship.doctor.modules import parse_modules
from pixi_ship.doctor.slurm import (
    Partition,
    parse_accounts,
    parse_config,
    parse_limit,
    parse_partitions,
)

DATA = Path(__file__).with_name("data")
MIB = 1 << 20


def data(name: str) -> str:
    return (DATA / name).read_text()


def test_partitions() -> None:
    main, crowd = parse_partitions(data("sinfo.txt"))
    assert main == Partition(
        name="main",
        is_default=True,
        is_up=True,
        longest=None,
        nodes=3,
        cpus=4,
        memory=6000 * MIB,
        gres=("gpu:a100:2",),
    )
    assert (crowd.name, crowd.is_default, crowd.nodes, crowd.gres) == ("crowd", False, 1, ())


def test_partitions_of_a_larger_site() -> None:
    """Rows as other sites have them: limits, several GRES with sockets, features, or more."""
    (long, gpu) = parse_partitions(
        "long|up|14-00:00:00|1:00:00|48+|190000+|900000|(null)|120|skylake,ib\n"
        "gpu|drain|2-00:00:00|30:00|64|515000|0|gpu:a100:4(S:0-1),shard:8(S:0-1)|12|a100,ib\n"
        "gpu|drain|2-00:00:00|30:00|96|1031000|0|gpu:h100:8|3|h100\n"
        "a line that is none\n"
    )
    assert (long.longest, long.cpus, long.memory) == (14 * 86400, 48, 190000 * MIB)
    assert long.features == ("skylake", "ib")
    assert not long.is_default
    assert (gpu.is_up, gpu.nodes, gpu.cpus) == (False, 15, 96)
    assert gpu.gres == ("gpu:a100:4", "shard:8", "gpu:h100:8")
    assert gpu.features == ("a100", "ib", "h100")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30:00", 1800),
        ("12:00:00", 43200),
        ("1-00:00:00", 86400),
        ("infinite", None),
        ("n/a", None),
        ("", None),
    ],
)
def test_limits(text: str, seconds: int | None) -> None:
    assert parse_limit(text) == seconds


def test_accounts_and_configuration() -> None:
    assert parse_accounts(data("associations.txt")) == ("astro", "physics")
    assert parse_accounts(data("default-account.txt")) == ("physics",)
    config = parse_config(data("config.txt"))
    assert (config["ClusterName"], config["TmpFS"]) == ("lab", "/tmp")
    assert config["AccountingStorageEnforce"] == "none"


def test_pool() -> None:
    pool = parse_pool(data("condor-status.json"), "25.14.1")
    assert (pool.slots, pool.cpus, pool.apptainer, pool.docker) == (2, 8, 2, 0)
    assert pool.common_images == 2
    assert pool.gpus == (GpuKind("NVIDIA A100-PCIE-40GB", 8.0, 40000 * MIB, 2),)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1]", "nonsense", "[" * 100_000])
def test_a_pool_that_says_nothing(text: str) -> None:
    assert parse_pool(text, "").slots == 0


@given(
    st.dictionaries(
        st.sampled_from(["TotalSlotGPUs", "TotalSlotCpus", "GPUs_Capability", "HasSingularity"]),
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    )
)
def test_a_slot_may_say_anything(slot: dict[str, object]) -> None:
    pool = parse_pool(json.dumps([slot]), "")
    assert pool.slots == 1
    assert pool.cpus >= 0
    assert pool.apptainer == (slot.get("HasSingularity") is True)


@pytest.mark.parametrize(
    ("text", "module"),
    [
        (data("modules-tcl.txt"), "apptainer/1.3.6"),  # the default, though there is a newer one
        (data("modules-lmod.txt"), "apptainer/1.4.1"),
        ("/opt:\nsingularity/3.8\n", "singularity/3.8"),
        ("/opt:\nsingularity/3.8\napptainer/1.9\napptainer/1.10\n", "apptainer/1.10"),
        ("/opt:\nSoftware/Apptainer/1.2-GCC\n", "Software/Apptainer/1.2-GCC"),
        ("", None),
        ("bash: module: command not found\n", None),
        ("apptainer/\n", None),
        ("apptainer/$(rm -rf x)\n", None),
    ],
)
def test_modules(text: str, module: str | None) -> None:
    assert parse_modules(text) == module


MOUNTS = """\
22 1 0:20 / /proc rw,relatime shared:5 - proc proc rw
25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
26 25 0:40 / /home rw,relatime shared:2 master:1 - nfs4 server:/home rw,vers=4.2
27 25 0:41 / /home rw,relatime - lustre mgs@tcp:/home rw
28 25 0:42 / /work\\040space rw - fuse.sshfs there:/ rw
29 25 0:43 / /scratch rw - xfs /dev/sdb rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind", "shared"),
    [
        ("/home/me", "lustre", True),  # mounted over the one before
        ("/homely", "ext4", False),
        ("/work space/a", "fuse.sshfs", True),
        ("/scratch", "xfs", False),
        ("/", "ext4", False),
    ],
)
def test_filesystems(path: str, kind: str, shared: bool) -> None:
    found = mount_of(PurePosixPath(path), parse_mounts(MOUNTS))
    assert found is not None
    assert (found.kind, found.is_shared) == (kind, shared)


def test_no_filesystem_where_nothing_is_said() -> None:
    assert mount_of(PurePosixPath("/home"), []) is None


@settings(max_examples=50)
@given(st.text("|*:-0123456789aginpu()+,\n/ "))
def test_any_text_is_survived(text: str) -> None:
    assert all(each.nodes >= 0 for each in parse_partitions(text))
    parse_mounts(text)
    parse_modules(text)
    parse_config(text)
