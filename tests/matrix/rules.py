"""What enroot, pyxis, Shifter and Sarus do to an image's variables, by their own sources.

Neither is packaged where these tests run, so their rules are carried out here, over bubblewrap:

- enroot (NVIDIA/enroot 8ea147d): `config.Env` becomes `/etc/environment` (src/docker.sh); in it
  `${NAME}` becomes the host's value, lines that assign no name and names that begin with `ENROOT_`
  are dropped, and a quote is taken off both ends of a value (src/common.sh, envsubst and envfmt);
  what is left, and what passwd(5) says of the user, whom `10-shadow.sh` has entered there, is the
  whole environment of a login shell (bin/enroot-switchroot.c). `/etc/rc`, which it reads, starts
  the entrypoint. The root is read-only, and so is the home that was made in it.
- pyxis (NVIDIA/pyxis 1075199, pyxis_slurmstepd.c): that shell runs no entrypoint; the variables it
  has after its profile are laid over the job's own, without its locale.
- Shifter (NERSC/shifter 84b7d34, src/shifter_core.c, shifter_setupenv): the image's variables over
  the host's; no entrypoint unless asked for.
- Sarus (eth-cscs/sarus, user guide): the same, and the entrypoint runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .stage import ABSENT_HOME

_USE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ROW = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z", re.DOTALL)
_QUOTED = re.compile(r"""["'](.*)["']\s*\Z""", re.DOTALL)
LOGIN = {
    "HOME": ABSENT_HOME,
    "SHELL": "/bin/sh",
    "USER": "somebody",
    "LOGNAME": "somebody",
    "TERM": "dumb",
}
"""What passwd(5) says of somebody whose home nobody has mounted."""

_LOCALE = ("LANG", "LANGUAGE", "LC_ALL")


def enroot_environment(
    rows: Sequence[str], host: Mapping[str, str], login: Mapping[str, str]
) -> dict[str, str]:
    """The variables of enroot's login shell. login: what is known of the user."""
    found = dict(login)
    for line in "\n".join(rows).split("\n"):
        line = _USE.sub(lambda use: host.get(use[1], ""), line).lstrip()
        row = _ROW.match(line)
        if row and not line.startswith("ENROOT_"):
            quoted = _QUOTED.match(row[2])
            found[row[1]] = quoted[1] if quoted else row[2]
    return found


def pyxis_environment(shell: Mapping[str, str], job: Mapping[str, str]) -> dict[str, str]:
    """The variables of a task. shell: those that enroot's login shell ended with."""
    return {**{name: job[name] for name in job.keys() - {*_LOCALE}}, **shell}


def shifter_environment(rows: Sequence[str], host: Mapping[str, str]) -> dict[str, str]:
    """The variables of a task under Shifter, and under Sarus."""
    return {**host, **dict(row.partition("=")[::2] for row in rows)}
