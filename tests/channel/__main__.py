"""`python -m tests.channel DEST [--large]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .build import ensure

parser = argparse.ArgumentParser(prog="python -m tests.channel", description=__doc__)
parser.add_argument("destination", type=Path, metavar="DEST")
parser.add_argument("--large", action="store_true", help="with packages to measure, in DEST-large")
arguments = parser.parse_args()

print(ensure(arguments.destination))
if arguments.large:
    beside = arguments.destination.with_name(arguments.destination.name + "-large")
    print(ensure(beside, beyond=True))
