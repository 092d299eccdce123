"""What the race keeps from one call to the next: runs of the same packages, and every machine."""

from __future__ import annotations

from pathlib import Path

from bench.race.result import Case, Results, Seen

OF_FEW, OF_MANY = (Case(name, "cold", "pixi-ship") for name in ("few", "many"))
SEEN = Seen(wall=1.5, cpu=2.0, memory=3, disk=4, moved=5, size=6)


def _results() -> Results:
    results = Results()
    for case in (OF_FEW, OF_MANY):
        results.hold_to(case.environment, "packages of then")
        results.add([(case, SEEN)])
    return results


def test_runs_of_the_same_packages_are_kept() -> None:
    results = _results()
    results.hold_to("few", "packages of then")
    assert results.runs == {OF_FEW: [SEEN], OF_MANY: [SEEN]}


def test_runs_of_other_packages_are_forgotten() -> None:
    results = _results()
    results.hold_to("few", "packages of now")
    assert results.runs == {OF_MANY: [SEEN]}
    results.add([(OF_FEW, SEEN)])
    results.hold_to("few", "packages of now")
    assert results.rounds("few", "pixi-ship") == 1


def test_every_machine_is_named_once() -> None:
    results = _results()
    for kernel in ("Linux 6.1", "Linux 6.2", "Linux 6.1"):
        results.learn({"system": kernel, "Pixi": "none; a stand-in"})
    assert results.facts == {"system": "Linux 6.1 · Linux 6.2", "Pixi": "none; a stand-in"}


def test_everything_is_read_again(tmp_path: Path) -> None:
    results = _results()
    results.learn({"system": "Linux 6.1"})
    results.surroundings.append({"free_cores": [2.0, 1.5]})
    results.write(tmp_path / "race.json")
    assert Results.read(tmp_path / "race.json") == results
