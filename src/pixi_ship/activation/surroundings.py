"""Two made-up machines: what a script finds out of where it runs is not the same on both.

Whatever it makes of that differs too, and is then known to be the node's. What of the building
machine shows through on both all the same is listed in ``docs/explanation/activation.md``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pixi_ship.sandbox.sandbox import Mount

PLACE = "/tmp/.pixi-ship"  # noqa: S108  # in the sandbox, whose /tmp is its own
PROGRAMS = f"{PLACE}/bin"
_REAL = f"{PLACE}/real"
_BINARIES = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")

# Files of /proc that tell of the machine (proc(5)); not those of processes, which move.
_PROC_FILES = (
    *("buddyinfo", "cgroups", "cmdline", "consoles", "cpuinfo", "crypto", "devices", "diskstats"),
    *(
        "config.gz",
        "dma",
        "execdomains",
        "fb",
        "filesystems",
        "interrupts",
        "iomem",
        "ioports",
        "kallsyms",
    ),
    *("key-users", "keys", "loadavg", "locks", "mdstat", "meminfo", "misc", "modules", "mtrr"),
    *("pagetypeinfo", "partitions", "schedstat", "slabinfo", "softirqs", "stat", "swaps"),
    *("timer_list", "uptime", "version", "version_signature", "vmallocinfo", "vmstat", "zoneinfo"),
)
_PROC_DIRECTORIES = (
    *("acpi", "asound", "bus", "driver", "dynamic_debug", "fs", "irq", "pressure", "scsi"),
    *("sysvipc", "tty"),
)
# Below /proc/sys (proc_sys_kernel(5) and its like); the others are not there in either run.
_SYS_NUMBERS = (
    *("kernel/cap_last_cap", "kernel/kptr_restrict", "kernel/msgmax", "kernel/msgmnb"),
    *("kernel/msgmni", "kernel/ngroups_max", "kernel/numa_balancing", "kernel/overflowgid"),
    *("kernel/overflowuid", "kernel/perf_event_paranoid", "kernel/pid_max", "kernel/pty/max"),
    *("kernel/random/entropy_avail", "kernel/random/poolsize", "kernel/randomize_va_space"),
    *("kernel/sched_rt_runtime_us", "kernel/sem", "kernel/shmall", "kernel/shmmax"),
    *("kernel/shmmni", "kernel/tainted", "kernel/threads-max", "kernel/yama/ptrace_scope"),
    *("kernel/unprivileged_userns_clone", "fs/aio-max-nr", "fs/file-max", "fs/file-nr"),
    *("fs/inotify/max_user_instances", "fs/inotify/max_user_watches", "fs/nr_open"),
    *("fs/pipe-max-size", "net/core/rmem_max", "net/core/somaxconn", "net/core/wmem_max"),
    *("net/ipv4/ip_forward", "net/ipv4/ip_local_port_range", "user/max_user_namespaces"),
    *("vm/max_map_count", "vm/min_free_kbytes", "vm/mmap_min_addr", "vm/nr_hugepages"),
    *("vm/overcommit_memory", "vm/overcommit_ratio", "vm/swappiness"),
)
_SYS_NAMES = (
    *("kernel/core_pattern", "kernel/domainname", "kernel/hostname", "kernel/osrelease"),
    "kernel/version",
)
_SYS_IDS = ("kernel/random/boot_id", "kernel/random/uuid")
# Programs that print a number, or a name, of the machine or the user.
_TELL_NUMBER = (
    *("nproc", "getconf", "lscpu", "free", "df", "uptime", "hostid", "lsblk", "lsmod", "sysctl"),
    *("findmnt", "mount", "vmstat", "dmesg", "w", "who"),
)
_TELL_USER = ("whoami", "logname")
_TELL_HOST = ("hostname", "domainname")
# Limits of setrlimit(2) by ulimit's letters; where a shell lacks one, nothing is lost.
_LIMITS = "d e f i l m n p q r s t u v w x R"
# What stands for "unlimited": far beyond what is used, yet in seconds a number of nanoseconds.
_UNLIMITED = 1 << 40
_UNLIMITED_TIME = 1 << 30


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a script can see of where it runs, besides the image.

    number: unlike in every two. forks: processes started before the script's own. zone: for TZ
    (POSIX.1-2024, XBD 8.3), so that the day is another one. halved: whether half of the processors
    are left.
    """

    name: str
    uid: int
    language: str
    number: int
    forks: int
    zone: str
    halved: bool

    @property
    def host(self) -> str:
        """How the machine calls itself."""
        return f"{self.name}-host"

    @property
    def variables(self) -> dict[str, str]:
        """What a runtime sets."""
        return {
            "HOME": f"/tmp/{self.name}-home",  # noqa: S108
            "TMPDIR": f"/tmp/{self.name}-tmp",  # noqa: S108
            "USER": f"{self.name}-user",
            "LOGNAME": f"{self.name}-user",
            "HOSTNAME": self.host,
            "LANG": self.language,
            "TZ": self.zone,
        }

    @property
    def limits(self) -> str:
        """Shell words that lower every limit a little, hard ones too; no core file in any case."""
        return (
            f"for pixi_ship_limit in {_LIMITS}; do for pixi_ship_kind in S H; do "
            'pixi_ship_value="$(ulimit -$pixi_ship_kind -$pixi_ship_limit)" || continue; '
            'case "$pixi_ship_limit$pixi_ship_value" in '
            f"tunlimited) pixi_ship_value={_UNLIMITED_TIME} ;; "
            f"?unlimited) pixi_ship_value={_UNLIMITED} ;; "
            "?|?*[!0-9]*) continue ;; esac; "
            f'[ "$pixi_ship_value" -gt {10 * self.number} ] && ulimit -$pixi_ship_kind '
            f'-$pixi_ship_limit "$((pixi_ship_value - {self.number}))"; '
            f"done; done 2>/dev/null; ulimit -S -n {100 * self.number}; ulimit -S -c 0; "
        )

    @contextmanager
    def processors(self) -> Iterator[None]:
        """What this thread starts in the block may use all processors, or half of them."""
        usual = os.sched_getaffinity(0)
        ours = sorted(usual)[len(usual) // 2 :] if self.halved else usual
        try:
            with suppress(OSError):
                os.sched_setaffinity(0, ours)
            yield
        finally:
            with suppress(OSError):
                os.sched_setaffinity(0, usual)


ONE = Surroundings("one", 41001, "C.UTF-8", 3, 0, "ONE23", halved=True)
OTHER = Surroundings("other", 52002, "C", 5, 9, "OTHER-23", halved=False)


@dataclass(frozen=True, slots=True)
class ProgramDirectory:
    """A directory with programs on this machine, and where the sandbox shows it."""

    here: Path
    target: str


def program_directories(root: Path, target: str = "") -> list[ProgramDirectory]:
    """Where a root filesystem, or a prefix, has its programs; links to directories are left out.

    target: where the sandbox shows it.
    """
    top = root.resolve()
    return [
        ProgramDirectory(root / name, f"{target}/{name}")
        for name in _BINARIES
        if (root / name).is_dir() and (root / name).resolve() == top / name
    ]


def pretended(
    surroundings: Surroundings, directories: Sequence[ProgramDirectory], place: Path
) -> list[Mount]:
    """Programs and files that tell of the machine, telling something made up; raises OSError.

    directories: where the programs are that these take the place of, by their paths too. place:
    an empty directory to write them to.
    """
    programs, mounts = place / "bin", list[Mount]()
    programs.mkdir()
    if (uname := _uname(directories)) is not None:
        mounts.append(Mount(uname, f"{_REAL}/uname"))
    for name, body in _programs(surroundings, has_real=uname is not None).items():
        program = programs / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        if name == "uname" and uname is None:
            continue
        mounts += [
            Mount(program, f"{each.target}/{name}")
            for each in directories
            if _is_file(each.here / name)
        ]
    return [*mounts, Mount(programs, PROGRAMS), *_proc(surroundings, place)]


def _programs(surroundings: Surroundings, *, has_real: bool) -> dict[str, str]:
    number = surroundings.number
    variables = surroundings.variables
    real = f"exec {_REAL}/uname" if has_real else "PATH=${PATH#*:} exec uname"
    return {
        "date": f"echo {number}000000000",
        **dict.fromkeys(_TELL_NUMBER, f"echo {number}"),
        **dict.fromkeys(_TELL_USER, f"echo {variables['USER']}"),
        **dict.fromkeys(_TELL_HOST, f"echo {variables['HOSTNAME']}"),
        "uname": f'case "$*" in \'\'|-s|-m|-p|-i|-o|-sm|-ms) {real} "$@" ;; '
        f"*) echo {_kernel(surroundings)} ;; esac",
    }


def _kernel(surroundings: Surroundings) -> str:
    number = surroundings.number
    return f"{number}.{number}.{number}-{surroundings.name}"


def _uname(directories: Sequence[ProgramDirectory]) -> Path | None:
    """The program that knows the processor; a link may lead to one that is many programs."""
    found = (each.here / "uname" for each in directories)
    return next((each for each in found if _is_file(each)), None)


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _proc(surroundings: Surroundings, place: Path) -> list[Mount]:
    number = surroundings.number
    facts = place / "facts"
    facts.write_text(
        "".join(f"processor : {each}\ncpu{each} {number}\n" for each in range(number))
        + f"MemTotal: {number}000000 kB\n{number}.{number}\n"
    )
    directory = place / "directory"
    directory.mkdir()
    (directory / surroundings.name).write_text(f"{number}\n")
    kernel = place / "sys"
    for names, text in (
        (_SYS_NUMBERS, f"{number}00000"),
        (_SYS_NAMES, _kernel(surroundings)),
        (_SYS_IDS, f"{number:08}-0000-4000-8000-{number:012}"),
    ):
        for name in names:
            (kernel / name).parent.mkdir(parents=True, exist_ok=True)
            (kernel / name).write_text(f"{text}\n")
    mounts = [Mount(facts, f"/proc/{name}") for name in _PROC_FILES]
    mounts += [Mount(directory, f"/proc/{name}") for name in _PROC_DIRECTORIES]
    # Nothing can be mounted where the kernel shows nothing.
    return [
        *(each for each in mounts if os.path.lexists(each.target)),
        Mount(kernel, "/proc/sys"),
        *(Mount(directory, f"{PLACE}/mounts/{each}") for each in range(number)),
    ]
