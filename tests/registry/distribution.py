"""Debian's ``docker-registry``, the registry of the distribution project, run for a test.

Its access log has method, path, query, status and the bytes of answers, but not those of
requests. So clients are sent to a counting proxy in front of it; with TLS they talk to the
registry itself, and its own log is all there is.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import re
import secrets
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from ..contract.tools import need
from .access import Access, AccessLog
from .certificates import Certificate
from .graph import problems
from .proxy import Proxy

_LISTENING = re.compile(r"listening on (127\.0\.0\.1:[0-9]+)")
_LINE = re.compile(r'\S+ - (\S+) \[[^]]*\] "(\S+) (\S+) HTTP/[0-9.]+" ([0-9]+) ([0-9]+) ')
_START = 30.0
"""Seconds that it may take to listen."""


class DockerRegistry:
    """The registry while the block lasts, its configuration and contents below ``folder``.

    ``users`` are names and passwords for Basic authorization. ``address`` is where clients go;
    ``backend`` is the registry itself, behind the counting proxy.
    """

    def __init__(
        self,
        folder: Path,
        *,
        users: Mapping[str, str] | None = None,
        tls: Certificate | None = None,
    ) -> None:
        need("docker-registry")
        self.folder = folder
        self.users = dict(users or {})
        self.tls = tls
        self.backend = ""
        self._proxy: Proxy | None = None
        self._stack = ExitStack()

    @property
    def address(self) -> str:
        return self._proxy.address if self._proxy else self.backend

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.address}"

    @property
    def log(self) -> AccessLog:
        """What clients asked; with TLS a new reading of the registry's own log each time."""
        return self._proxy.log if self._proxy else self.own_log()

    def own_log(self) -> AccessLog:
        """What the registry itself has written down; ``received`` is unknown there."""
        return AccessLog(list(parse_access_log(self._access.read_text())))

    def integrity(self) -> list[str]:
        """What is missing or wrong below the tags; nothing is well."""
        return problems(Filesystem(self.folder / "storage"))

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            process = stack.enter_context(self._started())
            stack.callback(_stop, process)
            self.backend = _listening(process, self._messages)
            if self.tls is None:
                self._proxy = stack.enter_context(Proxy(self.backend))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def _access(self) -> Path:
        return self.folder / "access.log"

    @property
    def _messages(self) -> Path:
        return self.folder / "messages.log"

    def _started(self) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "config.json"
        file.write_text(json.dumps(self._configuration()))
        # Its own variables (REGISTRY_…) would overrule the file; it needs none of ours.
        with self._access.open("wb") as out, self._messages.open("wb") as err:
            return subprocess.Popen(
                ["docker-registry", "serve", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder)},
            )

    def _configuration(self) -> dict[str, object]:
        """The configuration, in the JSON that every YAML reader reads.

        It listens at a port of the system's choice and says which.
        """
        http: dict[str, object] = {"addr": "127.0.0.1:0", "secret": secrets.token_hex(16)}
        storage = {
            "filesystem": {"rootdirectory": str(self.folder / "storage")},
            "delete": {"enabled": True},
        }
        found: dict[str, object] = {"version": 0.1, "storage": storage, "http": http}
        if self.tls:
            http["tls"] = {"certificate": str(self.tls.chain), "key": str(self.tls.key)}
        if self.users:
            path = self.folder / "htpasswd"
            lines = [f"{name}:{bcrypt(password)}\n" for name, password in self.users.items()]
            path.write_text("".join(lines))
            found["auth"] = {"htpasswd": {"realm": "docker-registry", "path": str(path)}}
        return found


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()


def _listening(process: subprocess.Popen[bytes], messages: Path) -> str:
    """The address that the registry says it listens at."""
    pause = threading.Event()
    for _ in range(int(_START / 0.02)):
        text = messages.read_text()
        if match := _LISTENING.search(text):
            return match[1]
        if process.poll() is not None:
            break
        pause.wait(0.02)
    raise AssertionError(f"docker-registry does not listen:\n{messages.read_text()}")


def parse_access_log(text: str) -> Iterator[Access]:
    """The records in an access log of Apache's combined format, which docker-registry writes."""
    for line in text.splitlines():
        if match := _LINE.match(line):
            user, method, target, status, sent = match.groups()
            parts = urlsplit(target)
            scheme = None if user == "-" else "Basic"
            yield Access(method, parts.path, parts.query, int(status), None, int(sent), scheme)


def bcrypt(password: str) -> str:
    """The password as htpasswd files have it: docker-registry knows bcrypt alone."""
    name = ctypes.util.find_library("crypt")
    if name is None:
        raise AssertionError("there is no libcrypt to make an htpasswd file with")
    crypt = ctypes.CDLL(name).crypt
    crypt.restype, crypt.argtypes = ctypes.c_char_p, [ctypes.c_char_p, ctypes.c_char_p]
    made = crypt(password.encode(), b"$2y$05$" + secrets.token_hex(11).encode())
    if not isinstance(made, bytes) or not made.startswith(b"$2y$"):
        raise AssertionError("this machine's libcrypt has no bcrypt")
    return made.decode()


class Filesystem:
    """What a registry of the distribution project keeps below its root directory.

    Layout: ``registry/storage/paths.go`` of that project.
    """

    def __init__(self, root: Path) -> None:
        self._blobs = root / "docker" / "registry" / "v2" / "blobs"
        self._repositories = root / "docker" / "registry" / "v2" / "repositories"

    def tagged(self) -> Iterator[tuple[str, str, str]]:
        """Repository, tag and digest of every tag."""
        for link in sorted(self._repositories.rglob("_manifests/tags/*/current/link")):
            repository = link.parents[4].relative_to(self._repositories)
            yield str(repository), link.parents[1].name, link.read_text()

    def manifest(self, repository: str, digest: str) -> bytes | None:
        return self._linked(f"{repository}/_manifests/revisions", digest)

    def blob(self, repository: str, digest: str) -> bytes | None:
        return self._linked(f"{repository}/_layers", digest)

    def _linked(self, folder: str, digest: str) -> bytes | None:
        algorithm, _, value = digest.partition(":")
        data = self._blobs / algorithm / value[:2] / value / "data"
        if not (self._repositories / folder / algorithm / value / "link").is_file():
            return None
        return data.read_bytes() if data.is_file() else None
