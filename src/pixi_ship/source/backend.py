"""Ask a project's build backend for a wheel, each of its hooks run in the sandbox.

    /build/source    the project, a copy: the backend may write there
    /build/env       the environment of :mod:`.environment`, read-only
    /build/out       where the wheel goes
    /build/hookN     question and answer of one hook
    /tmp, HOME       empty at the beginning

The paths are the same for every build, since compilers write them into their output.

Source: PEP 517 (hooks), PEP 518 (``build-system.requires``), by PyPA ``build`` and
``pyproject_hooks``; reproducible-builds.org for SOURCE_DATE_EPOCH.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from build import BuildBackendException, BuildException, FailedProcessError, ProjectBuilder

from pixi_ship.errors import PixiShipError, SandboxError, SourceError
from pixi_ship.redaction import redacted_text
from pixi_ship.sandbox.process import Outcome, run_to_end
from pixi_ship.sandbox.sandbox import HOME, PATH, Mount, Sandbox
from pixi_ship.source.environment import BasePython
from pixi_ship.source.output import ending, printable, reason_in

_INSIDE = "/build"
_SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/opt")  # what the sandbox shows anyway
_STORES = ("/nix/store", "/gnu/store")  # interpreters of Nix and Guix have their libraries there
_OF_PREFIX = ("bin", "lib", "lib64", "include", "compiler_compat")
_MAX_MANIFEST = 4 << 20  # bytes
_MAX_ANSWER = 1 << 20  # bytes of a hook's output.json
_LARGEST_FILE = 16 << 30  # bytes
_MAX_LEFT = 50
# A zip cannot hold a time before 1980.
_EPOCH = "315532800"
_FIXED = {
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONNOUSERSITE": "1",
    "SOURCE_DATE_EPOCH": _EPOCH,
    "TZ": "UTC",
}


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A project and the place it is built in.

    work: a directory of ours; ``source`` in it holds the files, ``project`` the one to build.
    sandbox: None to run with the caller's own rights. variables: what hooks get besides.
    """

    name: str
    work: Path
    project: Path
    python: BasePython
    sandbox: Sandbox | None
    network: bool
    timeout: float
    variables: Mapping[str, str] = field(default_factory=dict)

    def required(self) -> set[str]:
        """What the project says that its build needs; nothing is run for it."""
        with self._naming("read its build-system"):
            return self._builder().build_system_requires

    def required_for_wheel(self) -> set[str]:
        """What the backend wants besides, by its own word."""
        with self._naming("get_requires_for_build_wheel"):
            return {str(each) for each in self._builder().get_requires_for_build("wheel")}

    def wheel(self) -> Path:
        """Build; returns the file, which is to be read as a stranger's."""
        out = self.work / "out"
        with self._naming("build_wheel"):
            built = Path(self._builder().build("wheel", out))
            if built.parent != out or not stat.S_ISREG(_mode(built)):
                raise SourceError(
                    f"building {self.name}: the backend's answer names no file of its own"
                )
        return built

    def left_behind(self) -> tuple[str, ...]:
        """Files that the build left in its home; they go nowhere."""
        found: list[str] = []
        waiting = [(self.work / "home", "~")]
        while waiting and len(found) <= _MAX_LEFT:
            place, shown = waiting.pop()
            # It may be closed to us, or lie deeper than a path can say.
            with suppress(OSError), os.scandir(place) as entries:
                for entry in entries:
                    name = f"{shown}/{printable(entry.name)}"
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((place / entry.name, name))
                    elif len(found) <= _MAX_LEFT:
                        found.append(name)
        return tuple(sorted(found)[:_MAX_LEFT])

    def _builder(self) -> ProjectBuilder:
        # It is read out here, where a link leads to files of this machine, and opening a pipe
        # waits for ever.
        if not _is_absent_or_plain(self.project / "pyproject.toml", _MAX_MANIFEST):
            raise SourceError(
                f"building {self.name}: want a pyproject.toml that is a file of up to "
                f"{_MAX_MANIFEST >> 20} MiB, or none"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ProjectBuilder(self.project, self._inside(self._env_python()), self._run)

    def _env_python(self) -> str:
        return str(self.work / "env" / "bin" / "python")

    def _inside(self, text: str) -> str:
        """A path of ours as hooks see it."""
        return text if self.sandbox is None else text.replace(str(self.work), _INSIDE)

    def _inside_of(self, value: object) -> object:
        """The same for all texts of a JSON value."""
        if isinstance(value, dict):
            return {key: self._inside_of(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._inside_of(each) for each in value]
        return self._inside(value) if isinstance(value, str) else value

    def _run(
        self,
        cmd: Sequence[str],
        cwd: str | None = None,
        extra_environ: Mapping[str, str] | None = None,
    ) -> None:
        """Run one hook as ``pyproject_hooks`` asks: interpreter, script, hook, directory."""
        _, script, hook, exchange = cmd
        place = self.work / f"hook{len(list(self.work.glob('hook*')))}"
        place.mkdir()
        shutil.copyfile(script, place / "call.py")
        asked = json.loads((Path(exchange) / "input.json").read_text())
        (place / "input.json").write_text(json.dumps(self._inside_of(asked)))
        words = [self._env_python(), str(place / "call.py"), hook, str(place)]
        given = {
            name: json.dumps(self._inside_of(json.loads(value)))
            if name.endswith("_JSON")
            else value
            for name, value in (extra_environ or {}).items()
        }
        outcome = self._call(
            [self._inside(word) for word in words],
            self._inside(cwd or str(self.project)),
            given,
            place,
        )
        self._check(hook, outcome)
        answer = _regular(place / "output.json", _MAX_ANSWER)
        if answer is None:
            raise SourceError(f"building {self.name}: its {hook} gave no answer")
        (Path(exchange) / "output.json").write_bytes(answer)

    def _call(
        self, words: list[str], directory: str, given: Mapping[str, str], hook: Path
    ) -> Outcome:
        env = self._inside(str(self.work / "env"))
        variables = {**_FIXED, "VIRTUAL_ENV": env, **self.variables, **given}
        variables["PATH"] = f"{env}/bin:{PATH}"
        if self.sandbox is not None:
            return self.sandbox.run(
                words,
                mounts=self._mounts(hook),
                environment={**variables, "HOME": HOME, "TMPDIR": "/tmp"},  # noqa: S108
                directory=directory,
                network=self.network,
                timeout=self.timeout,
                largest_file=_LARGEST_FILE,
            )
        places = {"HOME": str(self.work / "home"), "TMPDIR": str(self.work / "tmp")}
        try:
            return run_to_end(
                words,
                environment={**variables, **places},
                directory=Path(directory),
                timeout=self.timeout,
                largest_file=_LARGEST_FILE,
            )
        except OSError as error:
            raise SourceError(
                f"building {self.name}: starting {words[0]}: {error.strerror}"
            ) from error

    def _mounts(self, hook: Path) -> list[Mount]:
        mounts = [Mount(here, str(here)) for here in map(Path, _STORES) if here.is_dir()]
        for prefix in dict.fromkeys((*self.python.prefixes, *_real(self.python.prefixes))):
            if not any(prefix.is_relative_to(each) for each in (*_SYSTEM, *_STORES)):
                parts = [prefix / each for each in _OF_PREFIX]
                mounts += [Mount(part, str(part)) for part in parts if part.is_dir()]
        for each in ("source", "out", hook.name):
            mounts.append(Mount(self.work / each, f"{_INSIDE}/{each}", writable=True))
        mounts.append(Mount(self.work / "env", f"{_INSIDE}/env"))
        mounts.append(Mount(self.work / "tmp", "/tmp", writable=True))  # noqa: S108
        mounts.append(Mount(self.work / "home", HOME, writable=True))
        return mounts

    def _check(self, hook: str, outcome: Outcome) -> None:
        if outcome.timed_out:
            problem = f"{hook} did not end within {self.timeout:g} seconds"
        elif outcome.wrote_too_much:
            problem = f"{hook} printed more than a build may"
        elif outcome.status:
            problem = f"{hook} failed with status {outcome.status}"
        else:
            return
        self._check_sandbox()
        output = redacted_text(outcome.output)
        raise SourceError(
            f"building {self.name}: its {problem}{ending(output)}",
            hint=reason_in(output, network=self.network),
        )

    def _check_sandbox(self) -> None:
        # Asked of a command of our own: a backend can print whatever bwrap prints.
        if self.sandbox is None:
            return
        try:
            self.sandbox.check()
        except SandboxError as error:
            raise SandboxError(
                f"building {self.name} in a sandbox: {error}",
                hint="this machine does not let us make one (user namespaces may be turned "
                "off); --no-sandbox builds with your own rights",
            ) from error

    @contextmanager
    def _naming(self, step: str) -> Iterator[None]:
        """What ``build`` raises, as errors of this package."""
        try:
            yield
        except PixiShipError:
            raise
        except BuildBackendException as error:
            # It wraps whatever the hook's runner raised, ours as well.
            if isinstance(error.exception, PixiShipError):
                raise error.exception from error
            raise self._refused(step, error) from error
        except (
            *(BuildException, FailedProcessError, ValueError, TypeError, KeyError),
            *(RecursionError, OSError),
        ) as error:
            raise self._refused(step, error) from error

    def _refused(self, step: str, error: Exception) -> SourceError:
        said = self._inside(redacted_text(str(error)))
        return SourceError(f"building {self.name}: it cannot {step}:{ending(said)}")


def make_places(work: Path) -> None:
    """The directories of a build."""
    for each in ("source", "out", "tmp", "home"):
        (work / each).mkdir()


def _real(paths: Sequence[Path]) -> list[Path]:
    return [path.resolve() for path in paths]


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError:
        return 0


def _is_absent_or_plain(path: Path, limit: int) -> bool:
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return True
    return stat.S_ISREG(facts.st_mode) and facts.st_size <= limit


def _regular(path: Path, limit: int) -> bytes | None:
    """A small file that a stranger wrote; None where it is none."""
    if not stat.S_ISREG(_mode(path)):
        return None
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        data = file.read(limit + 1)
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return None
    return data if len(data) <= limit else None
