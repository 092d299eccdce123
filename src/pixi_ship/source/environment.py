"""The environment that a backend runs in: an interpreter, and wheels that ``uv`` puts beside it.

``uv`` runs outside of the sandbox, with the caller's logins. So it may only unpack wheels,
never build; and each installation goes into an environment that is new, since asking an
interpreter what it is would run the ``.pth`` files of what was installed there before.

Requirements are packages of an index, by name. An address would have ``uv`` read files of this
machine, or log in, wherever a stranger points; and what a wheel at an address requires may again
be an address (uv refuses that of wheels of an index alone).

Source: PEP 405 for ``pyvenv.cfg``; ``uv pip install`` for ``--only-binary``, and for
``relocatable``, by which scripts find their interpreter where the environment lies; PEP 610 for
``direct_url.json``.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import uv
from packaging.requirements import InvalidRequirement, Requirement

from pixi_ship.errors import SourceError
from pixi_ship.redaction import redacted_text
from pixi_ship.source.output import ending
from pixi_ship.workspace import PypiOptions

_ASK = """
import json, os, sys, sysconfig
scheme = 'venv' if 'venv' in sysconfig.get_scheme_names() else 'posix_prefix'
names = {'base': '@', 'platbase': '@', 'installed_base': '@', 'installed_platbase': '@'}
print(json.dumps({
    'executable': os.path.realpath(getattr(sys, '_base_executable', sys.executable)),
    'prefixes': sorted({sys.base_prefix, sys.base_exec_prefix}),
    'version': '%d.%d.%d' % sys.version_info[:3],
    'site_packages': sysconfig.get_path('purelib', scheme, vars=names),
}))
"""
# Variables that would lead uv to other environments or let it build.
_LEADING = frozenset(
    (
        *("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON", "UV_TARGET"),
        *("UV_SYSTEM_PYTHON", "UV_NO_BINARY", "UV_NO_BINARY_PACKAGE", "UV_PREFIX", "UV_DRY_RUN"),
        *("UV_COMPILE_BYTECODE", "UV_NO_BUILD_ISOLATION", "UV_PROJECT", "UV_WORKING_DIR"),
        *("UV_BREAK_SYSTEM_PACKAGES", "UV_BUILD_CONSTRAINT", "UV_REQUIRE_HASHES", "UV_CONSTRAINT"),
        "UV_OVERRIDE",
    )
)
_YES = ("1", "true", "yes")
_HINT_OFFLINE = "run once without --offline, so that what the build needs is at hand"
_HINT = "what a build needs must be there as wheels; check the index and what the project requires"


@dataclass(frozen=True, slots=True)
class BasePython:
    """An interpreter as it was installed, no virtual environment.

    prefixes: where its files are. site_packages: relative to an environment.
    """

    executable: Path
    prefixes: tuple[Path, ...]
    version: str
    site_packages: str

    @classmethod
    def of(cls, executable: str, environment: Mapping[str, str]) -> BasePython:
        """Ask an interpreter of this machine; raises SourceError where it does not answer."""
        try:
            answer = subprocess.run(
                [executable, "-I", "-S", "-c", _ASK],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=60,
                check=True,
            ).stdout
            found = json.loads(answer)
            return cls(
                Path(found["executable"]),
                tuple(Path(each) for each in found["prefixes"]),
                found["version"],
                found["site_packages"].removeprefix("@/"),
            )
        except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
            raise SourceError(
                f"asking the interpreter {executable} where its files are: {error}",
                hint="put another Python of that version on PATH",
            ) from error

    def make_environment(self, place: Path) -> None:
        """An empty virtual environment; what ``python -m venv`` makes, without running it."""
        minor = self.version.rpartition(".")[0]
        (place / "bin").mkdir(parents=True)
        for name in ("python", "python3", f"python{minor}"):
            (place / "bin" / name).symlink_to(self.executable)
        (place / self.site_packages).mkdir(parents=True)
        (place / "pyvenv.cfg").write_text(
            f"home = {self.executable.parent}\n"
            "include-system-site-packages = false\n"
            f"version_info = {self.version}\n"
            "relocatable = true\n"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Installer:
    """``uv`` with the caller's variables and the workspace's indexes.

    root: what relative paths of ``indexes`` start from. scratch: a directory of ours to run in.
    """

    environment: Mapping[str, str]
    indexes: PypiOptions
    root: Path
    offline: bool
    timeout: float

    def install(
        self, name: str, requirements: Iterable[str], python: BasePython, place: Path
    ) -> tuple[str, ...]:
        """Make an environment with the requirements; returns what is in it, as ``name version``.

        name: the package that is built. Raises SourceError for requirements that are none, that
        name an address, or that cannot be met by wheels.
        """
        wanted = sorted({_checked(name, each) for each in requirements})
        python.make_environment(place)
        if wanted:
            self._run(name, wanted, place)
        found = sorted((place / python.site_packages).glob("*.dist-info"))
        for each in found:
            # uv refuses addresses that wheels of an index require; it notes those it takes.
            if (each / "direct_url.json").exists():
                raise _not_of_an_index(name, each.name.removesuffix(".dist-info"))
        return tuple(each.name.removesuffix(".dist-info") for each in found)

    def _run(self, name: str, wanted: list[str], place: Path) -> None:
        words = ["pip", "install", "--python", str(place / "bin" / "python")]
        # Compiling would start the interpreter beside what was just installed.
        words += ["--only-binary", ":all:", "--no-compile-bytecode"]
        words += ["--no-progress", "--color", "never"]
        # As with pip's variable; uv has only the word.
        words += ["--no-index"] if self.environment.get("UV_NO_INDEX") in _YES else []
        words += ["--offline"] if self.offline else []
        try:
            done = subprocess.run(
                [uv.find_uv_bin(), *words, "--", *wanted],
                env=self._variables(),
                # Not where a project's uv.toml would count.
                cwd=place,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=self.timeout,
            )
        except subprocess.TimeoutExpired:
            raise SourceError(
                f"installing what the build of {name} needs: uv did not end within "
                f"{self.timeout:.0f} seconds"
            ) from None
        except OSError as error:
            raise SourceError(
                f"installing what the build of {name} needs: uv cannot be started ({error})",
                hint="reinstall pixi-ship with its dependency 'uv'",
            ) from error
        if done.returncode:
            output = redacted_text(done.stdout.decode("utf-8", "replace"))
            raise SourceError(
                f"installing what the build of {name} needs ({', '.join(wanted)}):{ending(output)}",
                hint=_HINT_OFFLINE if self.offline else _HINT,
            )

    def _variables(self) -> dict[str, str]:
        # As variables, not words: the words of a process are no secret, URLs can hold one.
        found = {name: value for name, value in self.environment.items() if name not in _LEADING}
        # Links into uv's cache lead nowhere in a sandbox, and into the cache without one.
        found["UV_LINK_MODE"] = "copy"
        indexes = self.indexes
        if indexes.index_url:
            found.pop("UV_INDEX_URL", None)
            found["UV_DEFAULT_INDEX"] = indexes.index_url
        if indexes.extra_index_urls:
            known = found.get("UV_EXTRA_INDEX_URL", "")
            found["UV_EXTRA_INDEX_URL"] = " ".join([*indexes.extra_index_urls, known]).strip()
        if indexes.find_links:
            links = [
                # uv is run elsewhere, and the root may be relative.
                each if "://" in each else str((self.root / each).absolute())
                for each in indexes.find_links
            ]
            known = found.get("UV_FIND_LINKS", "")
            found["UV_FIND_LINKS"] = ",".join([*links, *([known] if known else [])])
        return found


def _checked(name: str, text: str) -> str:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise _no_requirement(name, text) from error
    if requirement.url is not None:
        raise _not_of_an_index(name, redacted_text(text[:200]))
    wanted = str(requirement)
    if not (wanted.isascii() and wanted.isprintable()):  # it becomes a word of a command
        raise _no_requirement(name, text)
    return wanted


def _no_requirement(name: str, text: str) -> SourceError:
    return SourceError(
        f"reading what the build of {name} needs: {text[:200]!r} is no requirement",
        hint="correct build-system.requires of its pyproject.toml",
    )


def _not_of_an_index(name: str, requirement: str) -> SourceError:
    return SourceError(
        f"reading what the build of {name} needs: {requirement!r} is no package of an index",
        hint="the build of a package may not name files of this machine, addresses or "
        "repositories; have its author require a release, or put one into an index of yours",
    )
