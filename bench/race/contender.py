"""What takes part: something that builds, and the nodes that get what it built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bench.process import Command
from bench.race.depot import Depot
from bench.race.environments import Version

COLD, AGAIN, CHANGED, WARM = "cold", "the same again", "one package changed", "warm"
STEPS = (COLD, WARM, CHANGED, AGAIN)
FIRST, UPDATE = "a new node", "a node with the version before"
ARRIVALS = (FIRST, UPDATE)


class Node(Protocol):
    """A machine of the cluster, with what it keeps of versions that it had."""

    @property
    def name(self) -> str:
        """How the node gets and runs it."""
        ...

    def forget(self) -> None:
        """Become a node that has nothing."""
        ...

    def command(self, version: Version, depot: Depot, script: str) -> Command:
        """Get a version, and run Python's ``script`` in it."""
        ...


class Contender(Protocol):
    """A way from a locked workspace to the depot.

    steps: those in which it differs from others of its steps; what keeps nothing has a cold
    one, and again and again the same.
    """

    @property
    def name(self) -> str:
        """What the table calls it."""
        ...

    @property
    def steps(self) -> tuple[str, ...]:
        """Which of STEPS it is measured at."""
        ...

    @property
    def pushes(self) -> bool:
        """Whether it leaves an image in the registry, and not a file."""
        ...

    def forget(self) -> None:
        """As if it had never run, but for bases."""
        ...

    def lose_image(self) -> None:
        """Keep what belongs to packages, and lose what belongs to the image."""
        ...

    def prepare(self, depot: Depot, versions: Sequence[Version]) -> None:
        """What is done once and counts for nobody: bases fetched, files rendered."""
        ...

    def command(self, version: Version, depot: Depot) -> Command:
        """Build a version and leave it in the depot."""
        ...

    def size(self, version: Version, depot: Depot) -> int:
        """Bytes of what was built."""
        ...

    def nodes(self) -> Sequence[Node]:
        """The ways in which nodes get it."""
        ...
