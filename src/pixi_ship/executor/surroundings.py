"""What the person's machine says to the Python API: read here, once for each executor.

The API is a surface as the command line is, so this one module of it looks at variables,
directories and the user; all else is handed what it needs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pixi_ship.cache import Cache, usual_directory
from pixi_ship.host.connection import Connection, socket_directory
from pixi_ship.host.host import Host
from pixi_ship.job.site import usual_profiles
from pixi_ship.over_ssh import SchedulerOverSSH
from pixi_ship.platform import platform_of_machine
from pixi_ship.registry.registries import Registries
from pixi_ship.registry.session import settings_of
from pixi_ship.runtime.spec import Caller
from pixi_ship.scheduler.command import LocalCommands
from pixi_ship.scheduler.record import SchedulerName
from pixi_ship.submit import Scheduler, scheduler


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The directory, user and variables that an executor was made with."""

    directory: Path
    home: Path
    uid: int
    gid: int
    machine: str
    cores: int
    environment: Mapping[str, str] = field(repr=False)

    def profiles(self) -> list[Path]:
        """The site's profiles that are here, the widest first."""
        return usual_profiles(self.environment, self.home, self.directory)

    def platform(self) -> str:
        """The platform of what runs here."""
        return platform_of_machine(self.machine)

    def cache_directory(self, given: Path | None) -> Path:
        """Where the cache is: as given, else as the command line would have it."""
        if given is not None:
            return self.directory / given
        return self.directory / usual_directory(self.environment, self.home)

    def registries(
        self,
        cache: Path | None,
        *,
        authfile: Path | None,
        plain_http: bool | None,
        ca_file: Path | None,
    ) -> Registries:
        """Registries, to be closed by who asks."""
        settings = settings_of(
            *(self.environment, self.home, self.uid),
            authfile=authfile,
            plain_http=plain_http,
            ca_file=ca_file,
        )
        return Registries(settings, Cache(self.cache_directory(cache)))

    def host(self, name: str) -> Host:
        """Another machine, to be connected to over SSH when it is first asked."""
        sockets = socket_directory(self.environment, self.uid)
        return Host(Connection(name, self.environment, sockets))

    def scheduler(self, name: SchedulerName, host: str | None = None) -> Scheduler:
        """A scheduler of this machine, or of another; raises UsageError."""
        if host is not None:
            return SchedulerOverSSH(name, self.host(host))
        return scheduler(name, LocalCommands(self.environment))

    def caller(self) -> Caller:
        """Who runs jobs here."""
        return Caller(str(self.directory), str(self.home), self.uid, self.gid, self.environment)


def surroundings() -> Surroundings:
    """Look at the machine, as it is now."""
    return Surroundings(
        Path.cwd(),
        Path.home(),
        os.getuid(),
        os.getgid(),
        os.uname().machine,
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        dict(os.environ),
    )
