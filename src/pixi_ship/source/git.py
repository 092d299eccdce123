"""A git dependency: the files of the locked commit, and nothing else of its repository.

The ``git`` program only fetches and reads objects; the files are written here, not checked
out. So hooks, filters (Git LFS is one) and line-end conversion have no part in them, and the
user's settings do not decide what is built.

Source: git-cat-file(1) ``--batch``, git-ls-tree(1) ``-z``, that submodules
belong to a source is uv's rule and pip's.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pixi_ship.digest import BLOCK
from pixi_ship.errors import SourceError
from pixi_ship.redaction import redacted_text
from pixi_ship.source.git_location import GitLocation, submodule
from pixi_ship.source.writing import TreeWriter

_MAX_SIZE = 4 << 30  # bytes of all files of a commit
_MAX_DEPTH = 8  # submodules of submodules
_KEPT_ERROR = 2000  # characters, from the end
# Variables that would lead git elsewhere than it is told; what is left is logins and proxies.
_LEADING = frozenset(
    f"GIT_{name}"
    for name in (
        *("DIR", "WORK_TREE", "INDEX_FILE", "OBJECT_DIRECTORY", "COMMON_DIR", "NAMESPACE"),
        *("ALTERNATE_OBJECT_DIRECTORIES", "CEILING_DIRECTORIES", "TEMPLATE_DIR", "CONFIG"),
        *("EXTERNAL_DIFF", "ALLOW_PROTOCOL", "PROTOCOL_FROM_USER", "SHALLOW_FILE", "TRACE"),
    )
)
_SETTINGS = (
    *("core.hooksPath=/dev/null", "core.fsmonitor=false", "protocol.ext.allow=never"),
    *("core.quotePath=true", "submodule.recurse=false", "fetch.recurseSubmodules=false"),
    *("gc.auto=0", "maintenance.auto=false", "transfer.bundleURI=false"),
)
_HINT = "check the address, the network and the login that 'git' has for it"


@dataclass(frozen=True, slots=True)
class Git:
    """The program, and the caller's variables, for the logins and proxies that are in them."""

    program: str
    environment: Mapping[str, str]
    timeout: float = 3600

    def write_commit(self, location: GitLocation, scratch: Path, into: Path) -> Path:
        """Write the files of a commit and of its submodules; returns the project's directory.

        scratch: an empty directory for repositories. Raises SourceError where the commit cannot
        be had or its files are not to be trusted.
        """
        writer = TreeWriter(into, limit=_MAX_SIZE)
        budget = _Budget(_MAX_SIZE)
        self._write(location, scratch, writer, "", budget, 0)
        try:
            writer.finish()
        except ValueError as error:
            raise SourceError(f"reading {location}: {error}") from error
        project = into / location.subdirectory
        if not project.is_dir() or into.resolve() not in (project.resolve(), *project.parents):
            raise SourceError(
                f"reading {location}: it has no directory {location.subdirectory!r}",
                hint="correct 'subdirectory' of the dependency, then run 'pixi lock'",
            )
        return project

    def ask(self, directory: Path, words: Sequence[str]) -> bytes | None:
        """What git says of the repository around a directory; None where it fails.

        Nothing is fetched for it, by whatever protocol.
        """
        done = subprocess.run(
            self._words(["-C", str(directory), "-c", "protocol.allow=never", *words]),
            env=self._variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=self.timeout,
            start_new_session=True,
        )
        return None if done.returncode else done.stdout

    def _write(
        self,
        location: GitLocation,
        scratch: Path,
        writer: TreeWriter,
        below: str,
        budget: _Budget,
        depth: int,
    ) -> None:
        repository = scratch / f"{depth}-{len(list(scratch.iterdir()))}"
        self._fetch(location, repository)
        modules: dict[str, str] = {}
        gitmodules = b""
        with self._objects(repository, location) as objects:
            for entry in self._entries(repository, location):
                path = f"{below}/{entry.path}" if below else entry.path
                _check_names(entry.path, location)
                try:
                    if entry.mode == "160000":
                        modules[entry.path] = entry.digest
                        writer.directory(path)
                        continue
                    content = objects.content(entry.digest, budget)
                    if entry.path == ".gitmodules":
                        gitmodules = b"".join(content)
                        content = iter([gitmodules])
                    if entry.mode == "120000":
                        target = b"".join(content).decode("utf-8", "surrogateescape")
                        writer.symlink(path, target)
                    else:
                        writer.file(path, executable=entry.mode == "100755", content=content)
                except ValueError as error:
                    raise SourceError(f"reading {location}: {error}") from error
        if modules and depth >= _MAX_DEPTH:
            raise SourceError(f"reading {location}: submodules lie more than {depth} deep")
        for path, commit in modules.items():
            place = submodule(location, path, commit, gitmodules)
            inner = f"{below}/{path}" if below else path
            if place is not None:
                self._write(place, scratch, writer, inner, budget, depth + 1)

    def _fetch(self, location: GitLocation, repository: Path) -> None:
        """A bare repository that holds the commit: that alone if its server gives it so."""
        self._run(location, ["init", "--bare", "--quiet", "--template=", str(repository)])
        fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--depth=1"]
        where = ["--git-dir", str(repository)]
        alone = self._run(
            location, [*where, *fetch, "--", location.url, location.commit], check=False
        )
        if alone.returncode:
            # Some servers give a commit only with the branch or tag that leads to it.
            refs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
            whole = ["fetch", "--quiet", "--no-write-fetch-head", "--", location.url, *refs]
            self._run(location, [*where, *whole])
        found = self._run(
            location, [*where, "cat-file", "-e", f"{location.commit}^{{commit}}"], check=False
        )
        if found.returncode:
            raise SourceError(
                f"fetching {location}: the repository has no such commit",
                hint="it may have been rewritten since; run 'pixi update' to lock another commit",
            )

    def _entries(self, repository: Path, location: GitLocation) -> Iterator[_Entry]:
        listed = self._run(
            location,
            ["--git-dir", str(repository), "ls-tree", "-r", "-z", "--full-tree", location.commit],
        ).stdout
        for row in listed.split(b"\0")[:-1]:
            words, _, path = row.partition(b"\t")
            mode, _, digest = words.decode("ascii").split(" ")
            yield _Entry(mode, digest, path.decode("utf-8", "surrogateescape"))

    def _objects(self, repository: Path, location: GitLocation) -> _Objects:
        words = self._words(["--git-dir", str(repository), "cat-file", "--batch"])
        return _Objects(words, self._variables(), str(location))

    def _words(self, words: list[str]) -> list[str]:
        settings = [word for each in _SETTINGS for word in ("-c", each)]
        return [self.program, "--no-pager", *settings, *words]

    def _variables(self) -> dict[str, str]:
        kept = {name: value for name, value in self.environment.items() if name not in _LEADING}
        quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1", "GIT_NO_LAZY_FETCH": "1"}
        if not kept.get("GIT_SSH") and not kept.get("GIT_SSH_COMMAND"):
            quiet["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes"
        return {**kept, **quiet}

    def _run(
        self, location: GitLocation, words: list[str], *, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        try:
            done = subprocess.run(
                self._words(words),
                env=self._variables(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self.timeout,
                start_new_session=True,  # no terminal to ask on
            )
        except subprocess.TimeoutExpired:
            raise SourceError(
                f"fetching {location}: git did not end within {self.timeout:.0f} seconds"
            ) from None
        except OSError as error:
            raise SourceError(
                f"starting {self.program}: {error.strerror}", hint="install git"
            ) from error
        if check and done.returncode:
            said = done.stderr.decode("utf-8", "replace")[-_KEPT_ERROR:]
            reason = " ".join(redacted_text(said).split()) or f"exit status {done.returncode}"
            raise SourceError(f"fetching {location}: {reason}", hint=_HINT)
        return done


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    digest: str
    path: str


@dataclass(slots=True)
class _Budget:
    """Bytes that may still be written."""

    left: int

    def take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise ValueError(f"its files are larger than {_MAX_SIZE >> 30} GiB")


class _Objects:
    """A running ``git cat-file --batch``."""

    def __init__(self, words: list[str], environment: Mapping[str, str], name: str) -> None:
        self._name = name
        self._process = subprocess.Popen(
            words,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> _Objects:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def content(self, digest: str, budget: _Budget) -> Iterator[bytes]:
        """The bytes of a blob; to be taken to the end before the next."""
        asked, answered = self._pipes()
        asked.write(f"{digest}\n".encode())
        asked.flush()
        head = answered.readline().split()
        if len(head) != 3 or head[1] != b"blob":
            raise SourceError(f"reading {self._name}: the object {digest[:12]} is missing")
        left = int(head[2])
        budget.take(left)
        while left:
            chunk = answered.read(min(left, BLOCK))
            if not chunk:
                raise SourceError(f"reading {self._name}: git ended too early")
            left -= len(chunk)
            yield chunk
        answered.read(1)  # the line's end

    def _pipes(self) -> tuple[BinaryIO, BinaryIO]:
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise SourceError(f"reading {self._name}: git ended too early")
        return process.stdin, process.stdout  # type: ignore[return-value]


def _check_names(path: str, location: GitLocation) -> None:
    # git refuses such trees itself where it checks them (fsck), which a server need not.
    if any(part.lower() in (".git", "..", ".", "") for part in path.split("/")):
        raise SourceError(f"reading {location}: it holds the path {path!r}, which git forbids")
