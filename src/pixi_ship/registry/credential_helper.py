"""Programs that keep logins for docker and podman. Protocol: docker-credential-helpers, ``get``.

A helper gets the server's name on its standard input and prints a JSON object. Whatever it
prints may hold a secret, so that no error repeats any of it.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pixi_ship.errors import RegistryError

_MAX_ANSWER = 1 << 20  # bytes that a helper may print
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\Z")
_NOT_FOUND = b"credentials not found in native keychain"
_HINT_KIND = "is it a credential helper of docker's kind?"


@dataclass(frozen=True, slots=True)
class CredentialHelper:
    """The program ``docker-credential-NAME`` on a search path.

    named_in: the file that asks for it, for errors. search_path: directories as in ``PATH``.
    environment: the variables it gets. seconds: how long it may take; it may ask a person.
    """

    name: str
    named_in: str
    search_path: str
    environment: Mapping[str, str] = field(repr=False)
    seconds: float

    def get(self, server: str) -> tuple[str, str] | None:
        """The user and the secret for a server; None where the helper has none.

        Raises RegistryError, which names the helper, where it is missing, fails, takes too
        long, or prints something else.
        """
        program = f"docker-credential-{self.name}"
        doing = f"asking {program} for the login to {server}"
        where = _found(program, self.search_path) if _NAME.match(self.name) else None
        if where is None:
            raise RegistryError(
                f"{doing}: there is no such program",
                hint=f"{self.named_in} names it: put it on PATH, or take it out of that file",
            )
        status, answer = self._run(where, server, doing)
        if status != 0 and answer.strip() == _NOT_FOUND:
            return None
        if status != 0:
            raise RegistryError(
                f"{doing}: it failed with status {status}",
                hint=f"log in again, or take the helper out of {self.named_in}",
            )
        return _login(answer, doing)

    def _run(self, program: str, server: str, doing: str) -> tuple[int, bytes]:
        """Its exit status, and what it printed."""
        end = time.monotonic() + self.seconds
        process = self._started(program, doing)
        try:
            # A helper that ends without reading is told by its status.
            with suppress(BrokenPipeError), process.stdin as stdin:  # type: ignore[union-attr]
                stdin.write(server.encode())
            answer = _read(process.stdout, end, doing)  # type: ignore[arg-type]
            return process.wait(max(0.1, end - time.monotonic())), answer
        except (TimeoutError, subprocess.TimeoutExpired):
            raise RegistryError(
                f"{doing}: no answer within {self.seconds:g} seconds",
                hint="does it wait for a keyring to be unlocked?",
            ) from None
        finally:
            _end(process)

    def _started(self, program: str, doing: str) -> subprocess.Popen[bytes]:
        try:
            # In a session of its own, so that what it starts can be ended with it.
            return subprocess.Popen(
                [program, "get"],
                env=dict(self.environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise RegistryError(
                f"{doing}: {error.strerror}", hint=f"does {program} run on this machine?"
            ) from error


def _found(program: str, search_path: str) -> str | None:
    """Where the program is; a relative directory could bring in one that others put there."""
    directories = [each for each in search_path.split(os.pathsep) if Path(each).is_absolute()]
    return shutil.which(program, path=os.pathsep.join(directories))


def _read(stream: IO[bytes], end: float, doing: str) -> bytes:
    answer = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while len(answer) <= _MAX_ANSWER:
            if not selector.select(max(0.0, end - time.monotonic())):
                raise TimeoutError
            chunk = os.read(stream.fileno(), 1 << 16)
            if not chunk:
                return bytes(answer)
            answer += chunk
    raise RegistryError(f"{doing}: it printed more than {_MAX_ANSWER} bytes", hint=_HINT_KIND)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:  # not waited for, so that its number is still its own
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout:
        process.stdout.close()


def _login(answer: bytes, doing: str) -> tuple[str, str] | None:
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):  # not chained: the error holds the answer
        document = None
    if isinstance(document, dict):
        username, secret = document.get("Username", ""), document.get("Secret", "")
        if isinstance(username, str) and isinstance(secret, str):
            return (username, secret) if username or secret else None
    raise RegistryError(
        f"{doing}: its answer is not a JSON object with Username and Secret", hint=_HINT_KIND
    )
