"""`python -m bench race [--runs N] [--workspace NAME] [--afresh] [--page FILE]`: the race.

Each contender takes each environment from the lock to a registry or a directory, and nodes get it
from there: cold, warm, after one changed package, and again. Every finished course is saved at
once; called again, it goes on until every case has N runs. `--page` writes the page of the
documentation from what is saved, and measures nothing.
"""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.contract.tools import Podman, working_podman

from bench.inside import Inside
from bench.measure import Surroundings, use_two_cores
from bench.options import parser
from bench.race import pixi
from bench.race.archive import Archive, UnpackingNode, ensure_packer
from bench.race.contender import COLD, Contender
from bench.race.course import go_through
from bench.race.definition import CopyNode, Definition
from bench.race.dockerfile import Dockerfile, PodmanNode, podman_at
from bench.race.environments import ENVIRONMENTS, Environment, versions
from bench.race.facts import facts
from bench.race.ours import Layers, PullNode, Sif
from bench.race.page import write_page
from bench.race.result import Case, Results, Seen
from bench.race.table import show
from bench.registry.clients import found
from bench.workspaces import DATA, ensure_data

_NEEDED = ("buildah", "podman", "skopeo", "docker-registry")


def main(words: Sequence[str]) -> None:
    """Measure, print, save."""
    options = parser("python -m bench race", __doc__, ENVIRONMENTS, "race")
    options.set_defaults(runs=5)
    options.add_argument("--contender", metavar="TEXT", default="", help="only those with TEXT")
    options.add_argument("--afresh", action="store_true", help="forget what is saved")
    options.add_argument("--page", type=Path, metavar="FILE", help="write the page, and end")
    arguments = options.parse_args(words)
    if arguments.page:
        write_page(Results.read(arguments.output), arguments.page)
        return
    if missing := [name for name in _NEEDED if not found(name)]:
        sys.exit(f"not on this machine: {', '.join(missing)}; next: make setup")
    chosen = [arguments.workspace] if arguments.workspace else list(ENVIRONMENTS)
    rounds = 1 if arguments.quick else arguments.runs
    results = Results() if arguments.afresh else Results.read(arguments.output)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    ensure_data(large=True)
    ensure_packer()
    use_two_cores()
    shutil.rmtree(arguments.scratch, ignore_errors=True)
    arguments.scratch.mkdir(parents=True)
    # Podman takes no longer run root than 50 characters.
    with TemporaryDirectory(prefix="race-") as store:
        podman = working_podman(Path(store), f"docker-archive:{DATA / 'base.docker.tar'}")
        podman.forget()
        layout = arguments.scratch / "pixi"
        pixi.write_image(podman, layout)
        results.learn(facts(podman, arguments.scratch))
        for name in chosen:
            results.hold_to(name, ENVIRONMENTS[name].packages())
        for name in (name for _ in range(rounds) for name in chosen):
            scratch = arguments.scratch / name
            field = [
                each
                for each in _field(podman, scratch)
                if arguments.contender in each.name and results.rounds(name, each.name) < rounds
            ]
            for seen in _round(ENVIRONMENTS[name], field, scratch, layout, results):
                results.add(seen)
                results.write(arguments.output)
    show(results)
    print(f"written to {arguments.output}")
    shutil.rmtree(arguments.scratch, ignore_errors=True)


def _round(
    environment: Environment,
    field: Sequence[Contender],
    scratch: Path,
    layout: Path,
    results: Results,
) -> Iterator[list[tuple[Case, Seen]]]:
    """Let each go through once, and give what was seen of it."""
    if not field:
        return
    scratch.mkdir(parents=True, exist_ok=True)
    both = versions(environment, scratch)
    for contender in field:
        surroundings = Surroundings()
        surroundings.look()
        seen = []
        for case, each in go_through(environment, contender, both, scratch, layout):
            seen.append((case, each))
            print(f"{case}  {each.wall:.1f} s, {each.moved / 1e6:.1f} MB", file=sys.stderr)
        surroundings.look()
        results.surroundings.append(surroundings.to_json())
        yield seen
    shutil.rmtree(scratch)


def _field(podman: Podman, scratch: Path) -> Iterator[Contender]:
    """All that this machine can have take part, in the order of the table."""
    inside = Inside("ordinary", scratch / "apptainer")
    node = Inside("ordinary", scratch / "node")
    store = podman.store.with_name("node")
    pulling = PodmanNode(podman_at(podman, store / podman.driver))
    apptainer = inside.apptainer.available() is None
    yield Dockerfile(podman, scratch / "dockerfile", pulling)
    if apptainer:
        yield Definition(inside, CopyNode(node))
    yield Archive(scratch / "archive", UnpackingNode(scratch / "unpacked"))
    yield Layers(scratch / "cache", (pulling, PullNode(node)) if apptainer else (pulling,))
    yield Layers(
        *(scratch / "plain-cache", (), "pixi-ship build --no-compile, registry", (COLD,)),
        options=("--no-compile",),
    )
    if apptainer:
        yield Sif(scratch / "sif-cache", CopyNode(node))
