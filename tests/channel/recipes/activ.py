"""`activ`, a noarch generic package whose only business is activation."""

from __future__ import annotations

from ..conda_package import CondaPackage, Entry, script, text_file

ACTIVATE = """\
export ACTIV_HOME="$CONDA_PREFIX/share/activ"
export ACTIV_GREETING="hello, activ"
export ACTIV_FLAGS="--fast ${ACTIV_EXTRA_FLAGS:-}"
export PATH="$CONDA_PREFIX/share/activ/bin:$PATH"
"""

COMPUTE = """\
# What only a shell can know: how many data files there are.
activ_count=0
for activ_file in "$CONDA_PREFIX"/share/activ/data/*; do
    activ_count=$((activ_count + 1))
done
export ACTIV_COUNT="$activ_count"
unset activ_count activ_file
"""

DEACTIVATE = """\
unset ACTIV_HOME ACTIV_GREETING ACTIV_FLAGS ACTIV_COUNT
"""

ENV_VARS = '{"ACTIV_MODE": "from env_vars.d", "ACTIV_QUOTED": "it\'s \\"quoted\\""}\n'


def packages() -> list[CondaPackage]:
    entries: list[Entry] = [
        text_file("etc/conda/activate.d/activ-compute.sh", COMPUTE),
        text_file("etc/conda/activate.d/activ.sh", ACTIVATE),
        text_file("etc/conda/deactivate.d/activ.sh", DEACTIVATE),
        text_file("etc/conda/env_vars.d/activ.json", ENV_VARS),
        script("share/activ/bin/activ-tool", '#!/bin/sh\necho "activ-tool $ACTIV_HOME"\n'),
        *(text_file(f"share/activ/data/{n}.txt", f"{n}\n") for n in ("one", "two", "three")),
    ]
    return [
        CondaPackage(
            "activ",
            "2.0",
            entries,
            subdir="noarch",
            noarch="generic",
            extension=".tar.bz2",
            summary="Sets variables when its environment is activated",
        )
    ]
