"""The table of runtimes and checks, found by running them; ends with 1 where it surprises."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import pytest

from .matrix import RUNTIMES, Matrix, NotStarted
from .probe import CHECKS
from .stage import REPOSITORY, Stage
from .table import lines, replaced

WORKSPACE = REPOSITORY / ".test-data" / "channel" / "workspaces" / "numpy"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("words", nargs="*", help="only runtimes with one of these in their name")
    parser.add_argument(
        "--page", type=Path, help="write the expected table into this page; runs nothing"
    )
    given = parser.parse_args()
    if given.page:
        given.page.write_text(replaced(given.page.read_text("utf-8")), "utf-8")
        return 0
    words = given.words or [""]
    chosen = [each for each in RUNTIMES if any(word in each.name for word in words)]
    if not chosen:
        parser.error(f"no runtime has {' or '.join(words)} in its name")
    # Podman's paths must be short, and a rootless one must be able to go there.
    with tempfile.TemporaryDirectory(prefix="ship-") as folder:
        Path(folder).chmod(0o755)
        matrix = Matrix(Stage(Path(folder), WORKSPACE))
        try:
            rows = [[matrix.cell(runtime, check) for check in CHECKS] for runtime in chosen]
        except (NotStarted, pytest.fail.Exception) as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            matrix.close()
    print("\n".join(lines(rows)))
    return 0 if all(cell.as_expected for row in rows for cell in row) else 1


if __name__ == "__main__":
    sys.exit(main())
