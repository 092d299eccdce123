"""Where a commit is: as a lock says it, and as ``.gitmodules`` does.

Source: gitmodules(5); git-clone(1), "GIT URLS"; PEP 610 and pip for ``git+`` and
``subdirectory``.
"""

from __future__ import annotations

import configparser
import posixpath
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from pixi_ship.errors import SourceError
from pixi_ship.redaction import redacted
from pixi_ship.tree import checked_path

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_SCHEMES = frozenset({"https", "http", "ssh", "git", "file"})
_REMOTE = _SCHEMES - {"file"}
_SCP = re.compile(r"(?P<host>[\w.-]+@[\w.-]+):(?P<path>[^/].*)\Z")  # git@host:path
_REFERENCES = frozenset({"rev", "branch", "tag"})
_MAX_MODULES = 1 << 20  # bytes of a .gitmodules


@dataclass(frozen=True, slots=True)
class GitLocation:
    """Where a locked commit is; ``subdirectory`` is the project's, empty for the top.

    ``str()`` holds no login, and ``key`` says what is built without one.
    """

    url: str
    commit: str
    subdirectory: str = ""

    @classmethod
    def parse(cls, location: str) -> GitLocation:
        """Read ``git+URL?branch=…&subdirectory=…#COMMIT`` or ``git+URL@COMMIT``.

        Raises SourceError where it is something else or names no commit.
        """
        url, _, commit = location.removeprefix("git+").partition("#")
        parts = urlsplit(url)
        path = parts.path
        if not commit and "@" in path:
            path, _, commit = path.rpartition("@")
        query = parse_qsl(parts.query, keep_blank_values=True)
        named = {name: value for name, value in query if name == "subdirectory"}
        rest = urlencode([row for row in query if row[0] not in {*_REFERENCES, *named}])
        commit = unquote(commit).lower()
        if parts.scheme not in _SCHEMES or not _COMMIT.match(commit):
            raise SourceError(
                f"reading the git dependency {redacted(location)}: want a URL of git and a "
                f"full commit, got the commit {commit!r}",
                hint="run 'pixi lock' to have the commit locked",
            )
        subdirectory = named.get("subdirectory", "").strip("/")
        try:
            subdirectory = checked_path(subdirectory) if subdirectory else ""
        except ValueError as error:
            raise SourceError(f"reading {redacted(location)}: {error}") from error
        bare = urlunsplit((parts.scheme, parts.netloc, path, rest, ""))
        return cls(bare, commit, subdirectory)

    def __str__(self) -> str:
        return f"{redacted(self.url)} at {self.commit[:12]}"

    @property
    def key(self) -> str:
        """What the source is: place, commit and subdirectory."""
        return f"git {redacted(self.url)} {self.commit} {self.subdirectory}"


def submodule(parent: GitLocation, path: str, commit: str, gitmodules: bytes) -> GitLocation | None:
    """Where a submodule is; None for one that ``.gitmodules`` does not know, as git has it.

    Its URL is the repository's word: it may name another server, but no file or program here
    unless the parent is a repository of this machine too.
    """
    if len(gitmodules) > _MAX_MODULES:
        raise SourceError(f"reading {parent}: .gitmodules holds {len(gitmodules)} bytes")
    parser = configparser.RawConfigParser(strict=False, interpolation=None, allow_no_value=True)
    try:
        text = gitmodules.decode("utf-8", "replace")
        parser.read_string("\n".join(line.strip() for line in text.splitlines()))
    except configparser.Error as error:
        raise SourceError(f"reading {parent}: .gitmodules cannot be read") from error
    for section in parser.sections():
        if parser.get(section, "path", fallback=None) == path:
            url = (parser.get(section, "url", fallback="") or "").strip('"')
            return GitLocation(_submodule_url(parent, path, url), commit)
    return None


def _submodule_url(parent: GitLocation, path: str, url: str) -> str:
    if url.startswith(("./", "../")):
        parts = urlsplit(parent.url)
        steps = posixpath.normpath(f"/{parts.path.strip('/')}/{url}")
        url = urlunsplit((parts.scheme, parts.netloc, steps, "", ""))
    elif scp := _SCP.match(url):
        url = f"ssh://{scp['host']}/{scp['path']}"
    allowed = _SCHEMES if urlsplit(parent.url).scheme == "file" else _REMOTE
    if urlsplit(url).scheme not in allowed or urlsplit(url).netloc.startswith("-"):
        raise SourceError(
            f"reading {parent}: its submodule {path!r} is at {redacted(url)!r}, which is no "
            f"URL that may be fetched ({', '.join(sorted(allowed))})",
        )
    return url
