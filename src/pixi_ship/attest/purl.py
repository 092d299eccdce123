"""Package URLs: one name for a package that scanners and advisories share.

Source: purl-spec (ECMA-427), "Character encoding", and the types ``conda``, ``pypi``, ``oci``.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit

from packaging.utils import canonicalize_name

from pixi_ship.digest import Digest
from pixi_ship.lock.model import CondaPackage, PypiPackage, PypiSource, SourceKind
from pixi_ship.redaction import redacted

# Channels that conda users call by a name instead of a URL.
_NAMED_CHANNELS = ("https://conda.anaconda.org/", "https://repo.anaconda.com/pkgs/")
# Where PyPI and its mirrors keep a file: by the BLAKE2b-256 digest of its bytes.
_PYPI_FILE = re.compile(r"/packages/[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{60}/[^/]+\Z")
_ADDRESS = re.compile(r"pkg:([a-z][a-z0-9.-]*)/([^@?#\s]+)(?:@([^?#\s]+))?")
_REMOTE = ("https://", "http://")


def purl(kind: str, name: str, version: str | None, **qualifiers: str | None) -> str:
    """A package URL without namespace or subpath; qualifiers that are None are left out."""
    text = f"pkg:{kind}/{_encoded(name)}"
    if version:
        text += f"@{_encoded(version)}"
    words = [f"{key}={_encoded(value)}" for key, value in sorted(qualifiers.items()) if value]
    return text + (f"?{'&'.join(words)}" if words else "")


def conda_purl(package: CondaPackage) -> str:
    """The package URL of a conda archive, with everything its file name says.

    Source: purl-spec, type ``conda``.
    """
    return purl(
        "conda",
        package.name,
        package.version,
        build=package.build,
        channel=channel_name(package),
        subdir=package.subdir,
        type="tar.bz2" if package.file_name.endswith(".tar.bz2") else "conda",
    )


def pypi_purl(package: PypiPackage) -> str:
    """The package URL of a wheel; one that does not come from PyPI says from where.

    Source: purl-spec, type ``pypi``, and the qualifiers ``download_url`` and ``vcs_url``.
    """
    location = remote_location(package.location)
    elsewhere = location if location and not _PYPI_FILE.search(location) else None
    return purl(
        "pypi",
        canonicalize_name(package.name),
        package.version,
        download_url=elsewhere,
        vcs_url=_vcs_url(package.source) if package.source else None,
    )


def _vcs_url(source: PypiSource) -> str | None:
    """The repository and commit that a wheel was built of; None if it was no repository."""
    address, _, commit = source.location.partition("#")
    if source.kind is not SourceKind.GIT or not commit:
        return None
    return f"{redacted(address)}@{commit}"


def provided_purls(package: CondaPackage) -> tuple[str, ...] | None:
    """The PyPI packages that a conda package stands for, as ``purls`` of the lock names them.

    The lock leaves their versions out, and Pixi takes the conda package's: so it is added here.
    Its qualifier, which tells how Pixi found the name, goes.
    None where the lock does not say what it stands for.
    Source: pixi, ``PypiPackageIdentifier::from_pypi_purl``.
    """
    names = package.metadata.get("purls")
    if not isinstance(names, (list, tuple)):
        return None
    found = {_provided(str(each), package.version) for each in names}
    return tuple(sorted(each for each in found if each))


def _provided(text: str, version: str) -> str | None:
    found = _ADDRESS.match(text)
    if found is None:
        return None
    kind, name, own_version = found.groups()
    if kind != "pypi":
        return found[0]
    return purl(kind, canonicalize_name(unquote(name)), unquote(own_version or "") or version)


def image_purl(
    name: str, digest: Digest, *, repository: str | None = None, architecture: str | None = None
) -> str:
    """The package URL of an image; ``repository`` is where it was found, with the host.

    Source: purl-spec, type ``oci``.
    """
    last = name.rpartition("/")[2].lower()
    return purl("oci", last, str(digest), arch=architecture, repository_url=repository)


def channel_name(package: CondaPackage) -> str | None:
    """What a channel is called: its name if it has one, else its URL; None if it is a directory."""
    channel = package.metadata.get("channel")
    location = remote_location(channel) if isinstance(channel, str) else None
    if location is None:
        return None
    for start in _NAMED_CHANNELS:
        if location.startswith(start):
            location = location.removeprefix(start)
    return location.strip("/") or None


def remote_location(location: str) -> str | None:
    """Where everybody could download a file, without credentials; None for a path.

    A path says nothing to others, and much about the machine the lock was made on.
    """
    return redacted(location) if location.startswith(_REMOTE) and _has_host(location) else None


def _has_host(location: str) -> bool:
    try:
        return bool(urlsplit(location).hostname)
    except ValueError:
        return False


def _encoded(text: str) -> str:
    # A colon stays as it is wherever it stands (purl-spec, "Character encoding").
    return quote(text, safe=":")
