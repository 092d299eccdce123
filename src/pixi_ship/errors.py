"""The errors a person can meet, all below :class:`PixiShipError`.

The sentence says what was being done, to what, and got / want; the hint says the next
step. Nothing here prints or exits: the command line has the one ``except``.
"""

from __future__ import annotations


class PixiShipError(Exception):
    """Something asked for could not be done; ``str()`` is one sentence for a person."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(PixiShipError):
    """The words on the command line, or a name in them, cannot be taken."""

    exit_code = 2


class WorkspaceError(PixiShipError):
    """The manifest is missing or cannot be read."""


class LockError(PixiShipError):
    """The lock is missing, broken, out of date, or lacks what was asked for."""


class RequirementError(PixiShipError):
    """A virtual package (``__cuda``, ``__glibc``) that the lock needs is not provided."""


class CannotBuild(PixiShipError):
    """The environment holds packages that this version cannot turn into layers."""


class FetchError(PixiShipError):
    """An archive could not be fetched."""


class DigestMismatch(PixiShipError):
    """Bytes are not the ones that the lock (or an image) names."""

    def __init__(
        self, what: str, *, want: str, got: str, says: str = "the lock", hint: str | None = None
    ) -> None:
        super().__init__(f"reading {what}: digest is {got}, {says} says {want}", hint=hint)
        self.what = what
        self.want = want
        self.got = got


class PackageError(PixiShipError):
    """A package archive is malformed, hostile, or not what its metadata says."""

    def __init__(self, package: str, problem: str, *, hint: str | None = None) -> None:
        super().__init__(f"reading {package}: {problem}", hint=hint)
        self.package = package
        self.problem = problem


class PlaceholderTooShort(PackageError):
    """The prefix in the image is longer than the slot a binary reserves for it."""


class TreeConflict(PixiShipError):
    """Two packages write one path and no rule says who wins."""


class ImageError(PixiShipError):
    """An image, layout or archive is malformed, or cannot be written."""


class RegistryError(PixiShipError):
    """A registry refused or answered nonsense, or the login for it cannot be used."""


class NotInRegistry(RegistryError):
    """The registry has no such repository, tag, manifest or blob, or does not show it."""


class CacheError(PixiShipError):
    """The cache directory cannot be used."""


class SchedulerError(PixiShipError):
    """A scheduler is not there, refused, or knows nothing of the job."""


class SandboxError(PixiShipError):
    """What a package brings along cannot be run apart from this machine."""


class SourceError(PixiShipError):
    """A source cannot be had, is not the locked one, or does not build."""


class ProjectError(PixiShipError):
    """A file of the project, or a task of it, cannot be taken into an image."""


class ActivationError(PixiShipError):
    """A script that activates an environment, or finishes a package's installation, failed."""


class TaskError(ProjectError):
    """A task of the manifest cannot be the command of an image."""

    def __init__(self, task: str, obstacle: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"taking task {task!r} as the command: {reason}", hint=hint)
        self.task = task
        self.obstacle = obstacle
