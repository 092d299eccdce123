"""Whom to trust as a registry, and what to show to it. Rules: containers-certs.d(5)."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

from pixi_ship.errors import RegistryError

_HINT_PEM = "it must hold certificates in PEM form, '-----BEGIN CERTIFICATE-----'"


def certificate_directories(home: Path) -> list[Path]:
    """The directories with one directory for each registry, the person's own first."""
    return [
        home / ".config" / "containers" / "certs.d",
        Path("/etc/containers/certs.d"),
        Path("/etc/docker/certs.d"),
    ]


def tls_context(host: str, directories: Sequence[Path], ca_file: Path | None) -> ssl.SSLContext:
    """How to open encrypted connections to a registry.

    Trusted are the system's authorities (by OpenSSL's rules, with ``SSL_CERT_FILE`` and
    ``SSL_CERT_DIR``), those in ``ca_file``, and each ``*.crt`` in the first of
    ``directories`` that has a directory named ``host``, which is HOST or HOST:PORT as in the
    reference. There ``*.cert`` with ``*.key`` is a certificate of ours to show; of several the
    first by name. Raises RegistryError naming the file that cannot be used.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        _trust(context, ca_file)
    files = _files_for(host, directories)
    for path in files:
        if path.suffix == ".crt":
            _trust(context, path)
    # Of those with one kind of key OpenSSL keeps the last.
    for path in reversed(files):
        if path.suffix == ".cert":
            _show(context, path, path.with_suffix(".key"), files)
        elif path.suffix == ".key" and path.with_suffix(".cert") not in files:
            raise _unusable(path, "there is no client certificate (.cert) for this key")
    return context


def _files_for(host: str, directories: Sequence[Path]) -> list[Path]:
    if "/" in host or host in ("", ".", ".."):
        return []
    for directory in directories:
        try:
            return sorted((directory / host).iterdir())
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue  # others may have their own there, as containers-certs.d readers take it
        except OSError as error:
            raise _unusable(directory / host, error.strerror or "cannot be read") from error
    return []


def _trust(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:  # also an OSError
        raise _unusable(path, "it is no certificate authority's file", _HINT_PEM) from None
    except OSError as error:
        raise _unusable(path, error.strerror or "cannot be read") from error


def _show(context: ssl.SSLContext, path: Path, key: Path, files: Sequence[Path]) -> None:
    if key not in files:
        raise _unusable(
            path,
            f"there is no {key.name} beside this client certificate",
            "the file of a certificate authority ends in .crt",
        )
    for each in (path, key):
        try:
            each.open("rb").close()
        except OSError as error:
            raise _unusable(each, error.strerror or "cannot be read") from error
    try:
        # An empty passphrase, else OpenSSL would ask for one on the terminal.
        context.load_cert_chain(path, key, password="")
    except (ssl.SSLError, ValueError):
        raise _unusable(
            path,
            f"it is no client certificate that fits {key.name}",
            "both in PEM form, the key without a passphrase",
        ) from None


def _unusable(path: Path, problem: str, hint: str | None = None) -> RegistryError:
    return RegistryError(
        f"reading {path}: {problem}", hint=hint or "mend the file, or take it away"
    )
