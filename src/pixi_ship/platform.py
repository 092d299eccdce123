"""One table for the names a platform has: conda subdir and OCI os/architecture."""

from __future__ import annotations

from dataclasses import dataclass

from pixi_ship.errors import UsageError


@dataclass(frozen=True, slots=True)
class Platform:
    """A Linux target: ``subdir`` is conda's word, ``architecture`` and ``variant`` are OCI's."""

    subdir: str
    architecture: str
    variant: str | None = None

    @property
    def os(self) -> str:
        """The OCI operating system; images are for Linux only."""
        return "linux"

    def __str__(self) -> str:
        return f"linux/{self.architecture}" + (f"/{self.variant}" if self.variant else "")


# OCI names are Go's GOARCH values (image-spec, "image index", platform).
_PLATFORMS = {
    platform.subdir: platform
    for platform in (
        Platform("linux-64", "amd64"),
        Platform("linux-aarch64", "arm64"),
        Platform("linux-ppc64le", "ppc64le"),
        Platform("linux-s390x", "s390x"),
        Platform("linux-riscv64", "riscv64"),
        Platform("linux-armv7l", "arm", "v7"),
        Platform("linux-32", "386"),
    )
}


_MACHINES = {"64": "x86_64", "32": "i686"}  # conda's word → that of uname(2), where they differ


def is_shippable(subdir: str) -> bool:
    """Whether images can be made for this conda subdir."""
    return subdir in _PLATFORMS


def marker_variables(platform: Platform, python: str) -> dict[str, str]:
    """Every variable of environment markers, for CPython of a version on a platform.

    What is left out would be taken from the machine that asks. Source: PyPA "Dependency
    specifiers", environment markers.
    """
    word = platform.subdir.partition("-")[2]
    return {
        "extra": "",
        "implementation_name": "cpython",
        "implementation_version": python,
        "os_name": "posix",
        "platform_machine": _MACHINES.get(word, word),
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": python,
        "python_version": ".".join(python.split(".")[:2]),
        "sys_platform": "linux",
    }


def platform_of_machine(machine: str) -> str:
    """The conda subdir of what runs on a machine, as uname(2) names it.

    On a Mac that is a virtual machine of the same processor; ``linux-64`` for what is not known.
    """
    name = {"x86_64": "linux-64", "arm64": "linux-aarch64"}.get(machine, f"linux-{machine}")
    return name if is_shippable(name) else "linux-64"


def platform_of(subdir: str) -> Platform:
    """The platform of a conda subdir; raises UsageError where no image can be made for it."""
    try:
        return _PLATFORMS[subdir]
    except KeyError:
        known = ", ".join(_PLATFORMS)
        raise UsageError(
            f"no image can be made for platform {subdir!r}",
            hint=f"images hold Linux programs; one of {known}",
        ) from None
