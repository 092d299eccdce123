"""Amounts as people write them, read once, and given to each scheduler in its own unit.

Bytes count in powers of 1024, as both schedulers do: ``4G``, ``4GB`` and ``4GiB`` are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pixi_ship.errors import UsageError
from pixi_ship.job.spec import Resources

_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP])(?:i?B)?\Z", re.IGNORECASE)
_POWERS = {unit: 10 * power for power, unit in enumerate("KMGTP", 1)}
_CLOCK = re.compile(r"(?:(\d+)-)?(\d{1,3}):(\d\d)(?::(\d\d))?\Z")
_UNITS = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?:in)?)?(?:(\d+)s)?\Z")
_DAY, _HOUR, _MINUTE = 86400, 3600, 60
_MOST = 1 << 60  # bytes
_LONGEST = 366 * _DAY
KIB, MIB = 1 << 10, 1 << 20


def parse_bytes(text: str, option: str) -> int:
    """Bytes of ``500M``, ``4G``, ``1.5TiB``; raises UsageError naming the option."""
    found = _BYTES.match(text.strip())
    size = 0
    if found:
        size = round(float(found[1]) * (1 << _POWERS[found[2].upper()]))
    if not 0 < size <= _MOST:
        raise UsageError(
            f"{option} {text!r} is no amount of bytes", hint="want a number with a unit, such as 4G"
        )
    return size


def parse_time(text: str, option: str) -> int:
    """Seconds of ``2h30m``, ``90min``, ``1d``, ``02:30:00``, ``1-12:00:00``; raises UsageError.

    ``12:30`` means hours and minutes; a bare number is refused, since one scheduler counts
    minutes and the other seconds.
    """
    seconds = 0
    stripped = text.strip()
    if (found := _CLOCK.match(stripped)) or (found := _UNITS.match(stripped)):
        days, hours, minutes, rest = (int(each or 0) for each in found.groups())
        seconds = days * _DAY + hours * _HOUR + minutes * _MINUTE + rest
    if not 0 < seconds <= _LONGEST:
        raise UsageError(
            f"{option} {text!r} is no duration",
            hint="want a number with a unit, such as 2h30m, or HOURS:MINUTES:SECONDS",
        )
    return seconds


def rounded_up(amount: int, unit: int) -> int:
    """How many units are enough for an amount."""
    return -(-amount // unit)


def slurm_time(seconds: int) -> str:
    """``D-HH:MM:SS``, of sbatch's forms the one that cannot be misread."""
    days, rest = divmod(seconds, _DAY)
    return f"{days}-{rest // _HOUR:02}:{rest % _HOUR // _MINUTE:02}:{rest % _MINUTE:02}"


def parse_resources(
    name: Callable[[str], str],
    *,
    cpus: int,
    memory: str | None,
    disk: str | None,
    time: str | None,
    gpus: int,
    gpu_memory: str | None,
    gpu_capability: str | None,
) -> Resources:
    """What each task may use; name: how errors call a field. Raises UsageError."""

    def size(field: str, text: str | None) -> int | None:
        return parse_bytes(text, name(field)) if text else None

    return Resources(
        cpus=cpus,
        memory=size("memory", memory),
        disk=size("disk", disk),
        time=parse_time(time, name("time")) if time else None,
        gpus=gpus,
        gpu_memory=size("gpu_memory", gpu_memory),
        gpu_capability=gpu_capability,
    )
