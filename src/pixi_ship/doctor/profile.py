"""A site's profile, proposed from what was found out; each line with its reason."""

from __future__ import annotations

from collections.abc import Sequence

import tomli_w

from pixi_ship.doctor.htcondor import Pool
from pixi_ship.doctor.site import SiteFacts
from pixi_ship.doctor.slurm import Cluster, Partition
from pixi_ship.job.quantity import slurm_time

_GIB = 1 << 30
_USUAL_LOCAL = "/tmp"  # noqa: S108 - what the profile has without a word
_MOST_SHOWN = 20  # partitions, accounts
_SINGULARITY = 'apptainer() { singularity "$@"; }'


def proposed_profile(facts: SiteFacts) -> str:
    """A file of TOML, which :func:`pixi_ship.job.site.read_site` takes as it is."""
    head = [f"# Proposed by pixi-ship doctor --site on {_comment(facts.host)}. Lines after # are"]
    head.append("# reasons, and choices that are yours.")
    tables: list[list[str]] = []
    if facts.cluster is not None:
        tables.append(_slurm(facts, facts.cluster))
    if facts.pool is not None:
        tables.append(_htcondor(facts.pool))
    if not tables:
        head += ["# Neither Slurm's sinfo nor HTCondor's condor_version answers here."]
    return "\n".join("\n".join(each) + "\n" for each in (head, *tables))


def _row(key: str, value: str | bool | list[str], *reasons: str) -> list[str]:
    return [*_comments(reasons), tomli_w.dumps({key: value}, multiline_strings=False).strip()]


def _comments(reasons: Sequence[str]) -> list[str]:
    return [f"# {_comment(each)}" for each in reasons]


def _comment(text: str) -> str:
    """One line: names in it come from elsewhere."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _slurm(facts: SiteFacts, cluster: Cluster) -> list[str]:
    return [
        "[slurm]",
        *_comments([f"Slurm {cluster.version}, cluster {cluster.name or 'without a name'}."]),
        *_partition(cluster),
        *_account(cluster),
        *_launcher(facts, cluster),
        *_shared(facts),
        *_local(facts, cluster),
    ]


def _partition(cluster: Cluster) -> list[str]:
    default = cluster.default_partition
    others = [each for each in cluster.partitions if each is not default]
    listed = [f"partition = {each.name!r}: {_described(each)}" for each in others[:_MOST_SHOWN]]
    if len(others) > _MOST_SHOWN:
        listed.append(f"and {len(others) - _MOST_SHOWN} more: sinfo")
    if default is not None:
        reason = f"sinfo marks it as the default: {_described(default)}."
        return [*_row("partition", default.name, reason), *_comments(listed)]
    if len(others) == 1:
        return _row("partition", others[0].name, f"The only one: {_described(others[0])}.")
    return _comments(["There is no default partition: choose one.", *listed])


def _described(partition: Partition) -> str:
    nodes = "1 node" if partition.nodes == 1 else f"{partition.nodes} nodes"
    parts = [f"{nodes} of {partition.cpus} cores"]
    parts.append(f"{partition.memory / _GIB:.0f} GiB")
    parts += partition.gres
    limit = partition.longest
    parts.append(f"{slurm_time(limit)} at most" if limit is not None else "no limit of time")
    return ", ".join([*parts, *([] if partition.is_up else ["not up"])])


def _account(cluster: Cluster) -> list[str]:
    others = [each for each in cluster.accounts if each != cluster.default_account][:_MOST_SHOWN]
    also = [f"also: {', '.join(others)}"] if others else []
    refuses = ["Slurm refuses jobs without an account."] if cluster.must_name_account else []
    if cluster.default_account:
        return _row("account", cluster.default_account, "sacctmgr's default.", *refuses, *also)
    if len(cluster.accounts) == 1:
        return _row("account", cluster.accounts[0], "The only one of sacctmgr.", *refuses)
    if others:
        return _comments(["sacctmgr names no default account: choose one.", *refuses, *also])
    return _comments(["account: sacctmgr names none for this user.", *refuses])


def _launcher(facts: SiteFacts, cluster: Cluster) -> list[str]:
    if facts.runtime == "apptainer":
        return _row("launcher", "apptainer", "It is on this machine, so nodes may have it too.")
    if facts.module is not None:
        rows = _row("launcher", "apptainer", "It comes by a module.")
        rows += _row("modules", [facts.module], "Of those that module avail lists.")
        return rows + (_as_apptainer() if "singularity" in facts.module.lower() else [])
    if facts.runtime == "singularity":
        rows = _row("launcher", "apptainer", "Singularity is on this machine, and takes the same.")
        return rows + _as_apptainer()
    if cluster.pyxis:
        return _row("launcher", "pyxis", "srun --help lists --container-image.")
    reason = "Not found here, nor by module, nor pyxis: ask whether nodes have it."
    return _row("launcher", "apptainer", reason)


def _as_apptainer() -> list[str]:
    return _row("lines", [_SINGULARITY], "Job scripts call apptainer.")


def _shared(facts: SiteFacts) -> list[str]:
    where = f"{facts.directory} is on {facts.directory_kind}"
    if facts.is_shared:
        return _row("shared", True, f"{where}, which comes over a network: nodes may see it.")
    return _row("shared", False, f"{where}, a disk of this machine: nodes do not see it.")


def _local(facts: SiteFacts, cluster: Cluster) -> list[str]:
    rows: list[str] = []
    local = cluster.local or ""
    # A name with % in it differs from node to node.
    if local.startswith("/") and local != _USUAL_LOCAL and "%" not in local:
        reason = "Slurm's TmpFS, a disk of each node."
        rows += _row("scratch", local, reason)
        rows += _row("images", f"{local}/pixi-ship-images-$USER", "The same.")
    found = [each for each in facts.scratch if each != local]
    if found:
        places = f"On this machine {' and '.join(found)} could be written to: if nodes have the"
        rows += _comments([f"{places} same,", f'scratch = "{found[0]}" and images below it fit.'])
    return rows


def _htcondor(pool: Pool) -> list[str]:
    lines = ["[htcondor]", *_comments([f"HTCondor {pool.version}: {_pool(pool)}."])]
    for each in pool.gpus:
        of = f"capability {each.capability}, {each.memory / _GIB:.0f} GiB"
        lines += _comments([f"{each.count} GPUs {each.name}: {of}"])
    able = max(pool.apptainer, pool.docker)
    if pool.slots and not able:
        lines += _comments(["No slot says that it can run containers: ask for one that does."])
    if pool.slots and pool.common_images == pool.slots:
        reason = "Every slot keeps the image of a job for the next."
        return lines + _row("common-image", True, reason)
    reason = f"{pool.common_images} of {pool.slots} slots can keep the image of a job."
    return lines + _row("common-image", False, reason)


def _pool(pool: Pool) -> str:
    with_runtimes = f"{pool.apptainer} with Apptainer, {pool.docker} with Docker"
    return f"{pool.slots} slots with {pool.cpus} cores, {with_runtimes}"
