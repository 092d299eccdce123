"""The root filesystem of `make setup` with a stock Apptainer in it, as one user enters it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.apptainer import runtime

from bench.process import Command

USERS: tuple[runtime.User, ...] = ("root", "ordinary")
_ENTER = Path(runtime.__file__).with_name("enter.sh")
_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child")


@dataclass(frozen=True, slots=True)
class Inside:
    """A user whose home, cache and temporary files lie in ``folder``.

    Tests have the same in one call that waits; to be measured and stopped it is a command here.
    """

    user: runtime.User
    folder: Path

    @property
    def apptainer(self) -> runtime.Apptainer:
        """The same as tests have it."""
        return runtime.Apptainer(self.user, self.folder)

    @property
    def cache(self) -> Path:
        """What Apptainer keeps."""
        return self.folder / "cache"

    def command(
        self, words: Sequence[str | Path], binds: Sequence[Path], watched: tuple[Path, ...] = ()
    ) -> Command:
        """A command in there, which sees ``binds`` at the same paths."""
        folders = [self.folder / name for name in ("home", "cache", "tmp")]
        for each in (self.folder, *folders):
            each.mkdir(parents=True, exist_ok=True)
            os.chown(each, *self.apptainer.ids())
        home = Path("/root" if self.user == "root" else f"/home/{self.user}")
        mounts = [folders[0], home]
        for path in (self.folder, *binds):
            mounts += [path, path]
        env = {
            "APPTAINER_CACHEDIR": str(self.cache),
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "TMPDIR": str(folders[2]),
            "USER": self.user,
        }
        enter: list[str | Path] = [
            *_NAMESPACES,
            "sh",
            _ENTER,
            runtime.ROOT,
            self.user,
            *mounts,
            "--",
        ]
        return Command((*enter, *words), env, (self.folder, *watched))
