"""What Slurm says of its cluster, asked from a login node.

Source: sinfo(1) ``--format``, sacctmgr(1), slurm.conf(5) ``AccountingStorageEnforce`` and
``TmpFS``; pyxis' README: its options are in srun's help.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pixi_ship.doctor.questions import Questions

_FORMAT = "%P|%a|%l|%L|%c|%m|%d|%G|%D|%f"
_LIMIT = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)\Z")
_CONFIG = re.compile(r"^(\w+) *= (.*?) *$", re.MULTILINE)
_GRES = re.compile(r"([^,(]+)(?:\([^)]*\))?(?:,|\Z)")
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A partition; longest: seconds that a job may take, None without a limit.

    cpus and memory (bytes): the most that a node has. gres: as nodes have them. features: what
    a constraint may name.
    """

    name: str
    is_default: bool
    is_up: bool
    longest: int | None
    nodes: int
    cpus: int
    memory: int
    gres: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A Slurm cluster.

    accounts: that the user may charge, where accounting says. must_name_account: jobs without
    one that is known are refused. pyxis: srun starts containers. local: directory that each
    node has for temporary files.
    """

    version: str
    name: str = ""
    partitions: tuple[Partition, ...] = ()
    accounts: tuple[str, ...] = ()
    default_account: str | None = None
    must_name_account: bool = False
    pyxis: bool = False
    local: str | None = None

    @property
    def default_partition(self) -> Partition | None:
        """The one that jobs go to that name none."""
        return next((each for each in self.partitions if each.is_default), None)


def ask_slurm(questions: Questions, user: str) -> Cluster | None:
    """The cluster that this machine submits to; None where there is none."""
    version = questions.answer("sinfo", "--version")
    if version is None:
        return None
    config = parse_config(questions.answer("scontrol", "show", "config") or "")
    whose = ("sacctmgr", "--noheader", "--parsable2", "--readonly", "show")
    rows = (
        questions.answer(*whose, "associations", f"user={user}", "format=Account") if user else ""
    )
    default = questions.answer(*whose, "user", user, "format=DefaultAccount") if user else ""
    return Cluster(
        version=version.split()[-1] if version.split() else "",
        name=config.get("ClusterName", ""),
        partitions=parse_partitions(questions.answer("sinfo", "--noheader", "-o", _FORMAT) or ""),
        accounts=parse_accounts(rows or ""),
        default_account=next(iter(parse_accounts(default or "")), None),
        must_name_account="associations" in config.get("AccountingStorageEnforce", ""),
        pyxis="--container-image" in (questions.answer("srun", "--help") or ""),
        local=config.get("TmpFS") or None,
    )


def parse_partitions(text: str) -> tuple[Partition, ...]:
    """The partitions in rows of sinfo, which has one for each kind of node."""
    found: dict[str, Partition] = {}
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) != 10:
            continue
        name = fields[0].removesuffix("*")
        found[name] = _joined(found.get(name), _partition(name, fields))
    return tuple(found.values())


def _partition(name: str, fields: list[str]) -> Partition:
    return Partition(
        name=name,
        is_default=fields[0].endswith("*"),
        is_up=fields[1] == "up",
        longest=parse_limit(fields[2]),
        nodes=_number(fields[8]),
        cpus=_number(fields[4]),
        memory=_number(fields[5]) * _MIB,
        gres=tuple(each.strip() for each in _GRES.findall(fields[7])) if _said(fields[7]) else (),
        features=tuple(fields[9].split(",")) if _said(fields[9]) else (),
    )


def _joined(before: Partition | None, other: Partition) -> Partition:
    if before is None:
        return other
    return Partition(
        name=before.name,
        is_default=before.is_default,
        is_up=before.is_up,
        longest=before.longest,
        nodes=before.nodes + other.nodes,
        cpus=max(before.cpus, other.cpus),
        memory=max(before.memory, other.memory),
        gres=tuple(dict.fromkeys((*before.gres, *other.gres))),
        features=tuple(dict.fromkeys((*before.features, *other.features))),
    )


def _said(text: str) -> bool:
    return text not in ("", "(null)", "N/A")


def _number(text: str) -> int:
    """A number of sinfo's, which ends in + where nodes differ."""
    digits = text.rstrip("+")
    return int(digits) if digits.isdecimal() else 0


def parse_limit(text: str) -> int | None:
    """Seconds of ``[D-]H:MM:SS`` or ``MM:SS``; None for ``infinite`` and ``n/a``."""
    found = _LIMIT.match(text)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(each or 0) for each in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def parse_accounts(text: str) -> tuple[str, ...]:
    """The first field of each row of sacctmgr, each once."""
    rows = (line.split("|")[0].strip() for line in text.splitlines())
    return tuple(dict.fromkeys(row for row in rows if row))


def parse_config(text: str) -> dict[str, str]:
    """The rows ``Name = value`` of ``scontrol show config``."""
    return {name: value for name, value in _CONFIG.findall(text) if _said(value)}
