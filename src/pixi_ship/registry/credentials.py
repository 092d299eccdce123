"""Logins to registries, as ``podman login`` and ``docker login`` leave them.

Rules: containers-auth.json(5) for files and keys; docker's ``config.json`` for ``auths``,
``credHelpers`` and ``credsStore``.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pixi_ship.errors import RegistryError
from pixi_ship.registry.credential_helper import CredentialHelper

_MAX_FILE = 4 << 20  # bytes
_HELPER_SECONDS = 60.0
_IDENTITY = "<token>"  # in place of a user, for an identity token
_LEGACY = ".dockercfg"
_HUB = "docker.io"
_HUB_NAMES = frozenset({_HUB, "index.docker.io", "registry-1.docker.io"})
_HUB_KEY = "https://index.docker.io/v1/"
_API_PATHS = frozenset({"", "v1/", "v2/"})
_SCHEME = re.compile(r"\Ahttps?://", re.IGNORECASE)
_HINT = "mend the file, or move it away and log in again"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login: a user with a password, or an identity token (an OAuth2 refresh token)."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    def basic(self) -> str:
        """User and password as the value of an ``Authorization`` header (RFC 7617)."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


def credential_files(
    environment: Mapping[str, str], home: Path, uid: int | None = None
) -> list[Path]:
    """The files to look for logins in; the first that has one wins.

    uid: the user's number, for where podman writes without ``XDG_RUNTIME_DIR``. A file named
    by ``REGISTRY_AUTH_FILE`` stands alone. Order: containers-auth.json(5).
    """
    if named := environment.get("REGISTRY_AUTH_FILE"):
        return [Path(named)]
    files = []
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        files.append(Path(runtime, "containers", "auth.json"))
    elif uid is not None:
        files.append(Path("/run/containers", str(uid), "auth.json"))
    settings = environment.get("XDG_CONFIG_HOME") or home / ".config"
    docker = environment.get("DOCKER_CONFIG") or home / ".docker"
    files += [Path(settings, "containers", "auth.json"), Path(docker, "config.json")]
    return [*files, home / _LEGACY]


def credential_store(
    environment: Mapping[str, str], home: Path, uid: int, authfile: Path | None = None
) -> CredentialStore:
    """The logins of a person, by the surroundings; ``authfile`` stands in for all files."""
    files = [authfile] if authfile else credential_files(environment, home, uid)
    required = authfile is not None or bool(environment.get("REGISTRY_AUTH_FILE"))
    return CredentialStore(files, environment.get("PATH"), environment, required=required)


@dataclass(frozen=True, slots=True)
class CredentialStore:
    """Files with logins, and the credential helpers that they name.

    helpers_path: where helpers are, as in ``PATH``. environment: the variables they get.
    required: a person named the files, so each must be there. helper_seconds: how long a
    helper may take.
    """

    files: Sequence[Path]
    helpers_path: str | None
    environment: Mapping[str, str] = field(repr=False)
    required: bool = False
    helper_seconds: float = _HELPER_SECONDS

    def find(self, host: str, repository: str) -> Credentials | None:
        """The login for a repository of a registry; None where there is none.

        In each file the registry's own helper goes first, then the entry whose key fits best,
        then the helper for all. Docker empties an entry when it hands a login to a helper, so
        an entry with a login in it is meant. Raises RegistryError for a file or a helper that
        cannot be used.
        """
        for path in self.files:
            file = _read(path, required=self.required)
            found = self._in_file(file, host, repository) if file else None
            if found is not None:
                return found
        return None

    def _in_file(self, file: _AuthFile, host: str, repository: str) -> Credentials | None:
        # Docker and podman take these keys verbatim, and each has its own for Docker Hub.
        names = (_HUB, _HUB_KEY) if _host_name(host) == _HUB else (host,)
        own = next((name for name in names if name in file.helpers), None)
        if own is not None and file.helpers[own]:
            return self._ask(file.helpers[own], own, file.path)
        found = file.entry_for(host, repository)
        # A registry's empty helper takes it out of the helper for all (docker).
        if found is not None or own is not None or not file.store:
            return found
        return self._ask(file.store, names[-1], file.path)

    def _ask(self, name: str, server: str, path: Path) -> Credentials | None:
        helper = CredentialHelper(
            name, str(path), self.helpers_path or "", self.environment, self.helper_seconds
        )
        login = helper.get(server)
        if login is None:
            return None
        username, secret = login
        if username == _IDENTITY:
            return Credentials(identity_token=secret)
        return Credentials(username, secret)


@dataclass(frozen=True, slots=True)
class _AuthFile:
    """What a file says; its entries are read only where they fit, most are of other hosts."""

    path: Path
    entries: Mapping[str, object] = field(repr=False)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""

    def entry_for(self, host: str, repository: str) -> Credentials | None:
        legacy = self.path.name == _LEGACY
        for key in _best_first(self.entries, host, repository, legacy=legacy):
            found = _entry(self.entries[key], f"reading the login {key!r} in {self.path}")
            if found is not None:
                return found
        return None


def _read(path: Path, *, required: bool) -> _AuthFile | None:
    doing = f"reading logins from {path}"
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        if not required:
            return None
        raise RegistryError(
            f"{doing}: there is no such file",
            hint=f"'podman login --authfile {path} HOST' writes one",
        ) from None
    except OSError as error:
        raise RegistryError(
            f"{doing}: {error.strerror}", hint="name another one with --authfile"
        ) from error
    if len(data) > _MAX_FILE:
        raise RegistryError(f"{doing}: it has more than {_MAX_FILE} bytes", hint=_HINT)
    if not data.strip():  # as docker: nobody is logged in
        return None
    document = _object(data, doing)
    return _AuthFile(path, document) if path.name == _LEGACY else _parsed(path, document, doing)


def _object(data: bytes, doing: str) -> dict[str, object]:
    try:
        document = json.loads(data)
    # Not chained: these errors hold the document.
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise RegistryError(f"{doing}: it is not JSON ({where})", hint=_HINT) from None
    except (ValueError, RecursionError):
        raise RegistryError(f"{doing}: it is not JSON", hint=_HINT) from None
    if not isinstance(document, dict):
        raise RegistryError(f"{doing}: it is not a JSON object", hint=_HINT)
    return document


def _parsed(path: Path, document: dict[str, object], doing: str) -> _AuthFile:
    entries = document.get("auths") or {}
    helpers = document.get("credHelpers") or {}
    store = document.get("credsStore") or ""
    if not isinstance(entries, dict):
        raise RegistryError(f"{doing}: 'auths' is not an object", hint=_HINT)
    if not isinstance(helpers, dict) or not all(isinstance(each, str) for each in helpers.values()):
        raise RegistryError(f"{doing}: 'credHelpers' is not an object of names", hint=_HINT)
    if not isinstance(store, str):
        raise RegistryError(f"{doing}: 'credsStore' is not a name", hint=_HINT)
    return _AuthFile(path, entries, helpers, store)


def _best_first(
    keys: Mapping[str, object], host: str, repository: str, *, legacy: bool = False
) -> list[str]:
    """The keys that fit: most specific first, and plain ones before other spellings."""
    fits = {key: specificity(key, host, repository, legacy=legacy) for key in keys}
    plain = f"{host}/{repository}/"

    def rank(key: str) -> tuple[int, bool]:
        return -(fits[key] or 0), not plain.startswith(f"{key}/")

    return sorted((key for key in keys if fits[key] is not None), key=rank)


def specificity(key: str, host: str, repository: str, *, legacy: bool = False) -> int | None:
    """How many parts of the repository's name a key asks for; None where it does not fit.

    legacy: the key is of ``.dockercfg``, where only its host counts. A URL stands for its
    host, and so does a host with the path of an API version (docker's older keys).
    """
    address = _SCHEME.sub("", key)
    name, _, namespace = address.partition("/")
    if not name or _host_name(name) != _host_name(host):
        return None
    if legacy or address != key or namespace in _API_PATHS:
        return 0
    namespace = namespace.rstrip("/")
    if not f"{repository}/".startswith(f"{namespace}/"):
        return None
    return namespace.count("/") + 1


def _host_name(host: str) -> str:
    name = host.lower()
    return _HUB if name in _HUB_NAMES else name


def _entry(entry: object, doing: str) -> Credentials | None:
    """The login of an entry; None for an empty one, which docker leaves beside a helper."""
    if not isinstance(entry, dict):
        raise RegistryError(f"{doing}: it is not an object", hint=_HINT)
    for name in ("auth", "username", "password", "identitytoken"):
        if not isinstance(entry.get(name) or "", str):
            raise RegistryError(f"{doing}: {name!r} is not a text", hint=_HINT)
    username, password = entry.get("username") or "", entry.get("password") or ""
    if auth := entry.get("auth"):
        username, password = _decoded(auth, doing)
    if token := entry.get("identitytoken"):
        return Credentials(username, identity_token=token)
    return Credentials(username, password) if username or password else None


def _decoded(auth: str, doing: str) -> tuple[str, str]:
    """User and password; errors are not chained, as they hold the bytes."""
    try:
        username, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except ValueError:
        raise RegistryError(f"{doing}: 'auth' is not base64 of a text", hint=_HINT) from None
    if not colon:
        raise RegistryError(f"{doing}: 'auth' is not base64 of USER:PASSWORD", hint=_HINT)
    return username, password.strip("\0")  # older versions of docker padded with zero bytes
