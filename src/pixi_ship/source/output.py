"""What a foreign program has said, as an error may show it."""

from __future__ import annotations

import re

_LINES = 20
_WIDTH = 300  # characters of a line
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_HINTS = (
    (
        r"name resolution|Network is unreachable|Name or service not known|resolve host"
        r"|Errno -[23]\b|Errno 101\b|Max retries exceeded",
        "it seems to want the network: allow it with --build-network",
    ),
    (
        r"Python\.h: No such file",
        "the headers of this machine's Python are missing: install them (python3-dev), or put "
        "a Python that has them on PATH",
    ),
    (
        r"\b(?:gcc|cc|g\+\+|c\+\+|clang)'? ?(?:failed|not found|: No such)|[Nn]o such file or "
        r"directory: '(?:gcc|cc|g\+\+|c\+\+|clang)'|C compiler|Unknown compiler",
        "it needs a compiler: install one on this machine (gcc, g++)",
    ),
    (
        r"\b(?:cargo|rustc)\b.*(?:not found|No such|not installed)|Rust toolchain",
        "it needs Rust: install cargo and rustc on this machine, below /usr",
    ),
    (
        r"ModuleNotFoundError|No module named",
        "build-system.requires of its pyproject.toml does not name all that its build imports",
    ),
    (
        r"Read-only file system|Permission denied: '/",
        "it writes outside of its own directory, which the sandbox does not let it; "
        "--no-sandbox builds with your own rights",
    ),
)


def ending(output: str) -> str:
    """The last lines, each on a line of its own behind a bar; without control characters."""
    plain = _ESCAPE.sub("", output.replace("\r", "\n"))
    lines = [line.rstrip() for line in plain.splitlines() if line.strip()][-_LINES:]
    return "".join(f"\n  │ {printable(line[:_WIDTH])}" for line in lines)


def printable(text: str) -> str:
    """A text with a mark in place of each character that a terminal cannot show, or would obey."""
    return "".join(c if c.isprintable() else "�" for c in text)


def reason_in(output: str, *, network: bool) -> str:
    """The next step that a failed build's output suggests; network: whether it had one."""
    for pattern, hint in _HINTS:
        if "--build-network" in hint and network:
            continue
        if re.search(pattern, output):
            return hint
    return (
        "see its own instructions for building; or depend on a version that has a wheel, or "
        "take the package from an installed environment with --from-prefix"
    )
