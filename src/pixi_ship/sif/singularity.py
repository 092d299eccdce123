"""``/.singularity.d``: what Apptainer wants of a root filesystem, made from the image's config.

Source: Apptainer's ``internal/pkg/build/sources/base_environment.go`` and
``conveyorPacker_oci.go`` for names and order; the words are ours. Environment scripts are
sourced in the order of their names by a shell without ``trap``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pixi_ship.oci.image import canonical_json
from pixi_ship.recipe.scripts import shell_quoted
from pixi_ship.tree import Directory, Entry, File, Symlink

_ENV = ".singularity.d/env"
_DIRECTORIES = (
    *(".singularity.d/libs", ".singularity.d/actions", _ENV),
    *("dev", "etc", "home", "proc", "root", "sys", "tmp", "var/tmp"),
)
_LINKS = {
    "singularity": ".singularity.d/runscript",
    ".run": ".singularity.d/actions/run",
    ".exec": ".singularity.d/actions/exec",
    ".test": ".singularity.d/actions/test",
    ".shell": ".singularity.d/actions/shell",
    "environment": ".singularity.d/env/90-environment.sh",
}
_SOURCE_ALL = """\
#!/bin/sh
for script in /.singularity.d/env/*.sh; do
  if [ -f "$script" ]; then . "$script"; fi
done
"""
_LIBRARIES = """\
#!/bin/sh
if [ -z "${LD_LIBRARY_PATH-}" ]; then
  LD_LIBRARY_PATH="/.singularity.d/libs"
else
  LD_LIBRARY_PATH="$LD_LIBRARY_PATH:/.singularity.d/libs"
fi
export LD_LIBRARY_PATH
"""


@dataclass(frozen=True, slots=True)
class SingularityTree:
    """The files that make an OCI image's root filesystem one for Apptainer.

    config: the image's runtime config. definition: text of the definition file.
    """

    config: Mapping[str, object]
    definition: str

    def entries(self) -> Iterator[Entry]:
        """The entries; directories of the image keep what is in them."""
        for path in _DIRECTORIES:
            yield Directory(path)
        for path, text in sorted(self._files().items()):
            data = text.encode("utf-8", "surrogateescape")
            executable = path.startswith((".singularity.d/actions/", ".singularity.d/env/"))
            mode = 0o755 if executable or path.endswith("script") else 0o644
            yield File(path, mode, len(data), (data,))
        for path, target in sorted(_LINKS.items()):
            yield Symlink(path, target)

    def metadata(self) -> bytes:
        """The object that ``apptainer inspect`` reads instead of mounting the image."""
        files = self._files()
        environment = {f"/{path}": text for path, text in files.items() if path.startswith(_ENV)}
        attributes = {
            "deffile": self.definition,
            "environment": environment,
            "labels": json.loads(labels_json(self.config)),
            "runscript": files[".singularity.d/runscript"],
            "startscript": files[".singularity.d/startscript"],
        }
        return canonical_json({"data": {"attributes": attributes}, "type": "container"})

    def _files(self) -> dict[str, str]:
        command = [*_words(self.config.get("Entrypoint")), *_words(self.config.get("Cmd"))]
        return {
            f"{_ENV}/01-base.sh": "#!/bin/sh\n",
            f"{_ENV}/10-docker2singularity.sh": _exports(_words(self.config.get("Env"))),
            f"{_ENV}/90-environment.sh": "#!/bin/sh\n",
            f"{_ENV}/95-apps.sh": "#!/bin/sh\n",
            f"{_ENV}/99-base.sh": _LIBRARIES,
            f"{_ENV}/99-runtimevars.sh": "#!/bin/sh\n",
            ".singularity.d/actions/exec": f'{_SOURCE_ALL}exec "$@"\n',
            ".singularity.d/actions/run": f'{_SOURCE_ALL}exec /.singularity.d/runscript "$@"\n',
            ".singularity.d/actions/start": f'{_SOURCE_ALL}exec /.singularity.d/startscript "$@"\n',
            ".singularity.d/actions/shell": f'{_SOURCE_ALL}exec {_shell(command)} "$@"\n',
            ".singularity.d/actions/test": f"{_SOURCE_ALL}exit 0\n",
            ".singularity.d/runscript": self._runscript(),
            ".singularity.d/startscript": "#!/bin/sh\n",
            ".singularity.d/Singularity": self.definition,
            ".singularity.d/labels.json": labels_json(self.config).decode(),
        }

    def _runscript(self) -> str:
        """Entrypoint and arguments as they are; a command's own words only without any."""
        entry = " ".join(map(shell_quoted, _words(self.config.get("Entrypoint"))))
        command = " ".join(map(shell_quoted, _words(self.config.get("Cmd"))))
        default = f'if [ "$#" -eq 0 ]; then set -- {command}; fi\n' if command else ""
        # No "cd" to the image's WorkingDir: jobs start where they were submitted.
        return "#!/bin/sh\n" + default + " ".join(filter(None, ("exec", entry, '"$@"'))) + "\n"


def labels_json(config: Mapping[str, object]) -> bytes:
    """The labels of an image, as Apptainer keeps them."""
    labels = config.get("Labels")
    return canonical_json(dict(labels) if isinstance(labels, Mapping) else {})


def _words(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


def _shell(command: Sequence[str]) -> str:
    bash = any(word.endswith("bash") for word in command)
    return "/bin/bash --norc" if bash else "/bin/sh"


def _exports(rows: Sequence[str]) -> str:
    """The image's variables; what the person sets for the container wins, but for PATH."""
    lines = ["#!/bin/sh"]
    for row in rows:
        name, _, value = row.partition("=")
        if name.isidentifier() and name.isascii():
            quoted = _double_quoted(value)
            lines.append(
                f'export {name}="{quoted}"'
                if name == "PATH"
                else f'export {name}="${{{name}:-"{quoted}"}}"'
            )
    return "\n".join(lines) + "\n"


def _double_quoted(value: str) -> str:
    for special in ("\\", '"', "$", "`"):
        value = value.replace(special, f"\\{special}")
    return value
