"""Who wins a contested path, against a model that lays packages out one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from pixi_ship.prefix.clobber import find_clobbers, groups
from pixi_ship.prefix.merge import merge

paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)


def _is_clean(package: Sequence[str]) -> bool:
    """A package that could be unpacked: no file of it lies below another one."""
    return not any(one.startswith(f"{other}/") for one in package for other in package)


packages = st.lists(
    st.lists(paths, max_size=4, unique=True).filter(_is_clean), min_size=1, max_size=4
)


def winners(found: Sequence[Sequence[str]]) -> dict[str, int]:
    """Path → the package whose file is there, by rattler's rule taken word for word.

    From the root down: the last package that touches a path, or anything below it, decides
    whether it is its file or a directory; below a file there is nothing.
    """
    result: dict[str, int] = {}

    def descend(path: str) -> None:
        below = f"{path}/"
        touching = [
            index
            for index, package in enumerate(found)
            if any(one == path or one.startswith(below) for one in package)
        ]
        if touching and path in found[touching[-1]]:
            result[path] = touching[-1]
        elif touching:
            for name in "abc":
                descend(below + name)

    for name in "abc":
        descend(name)
    return result


@settings(max_examples=500)
@given(packages)
def test_winners_are_those_of_the_model_and_all_others_are_moved(
    found: list[list[str]],
) -> None:
    lost = {(loser, clobber.path) for clobber in find_clobbers(found) for loser in clobber.losers}
    want = winners(found)
    for index, package in enumerate(found):
        for path in package:
            assert ((index, path) in lost) is (want.get(path) != index)


@given(packages)
def test_a_winner_is_never_among_the_losers(found: list[list[str]]) -> None:
    for clobber in find_clobbers(found):
        assert clobber.losers
        assert clobber.winner not in clobber.losers


@given(packages)
def test_groups_join_all_that_contest_and_never_overlap(found: list[list[str]]) -> None:
    clobbers = find_clobbers(found)
    joined = groups(clobbers)
    members = [index for group in joined for index in group]
    assert len(members) == len(set(members))
    for clobber in clobbers:
        assert sum({clobber.winner, *clobber.losers} <= group for group in joined) == 1


@given(packages)
def test_no_two_packages_end_up_at_one_path_or_below_each_other(
    found: list[list[str]],
) -> None:
    merged = merge([f"p{index}-1-0.conda" for index in range(len(found))], found, [])
    placed = [
        placement.moved.get(path, path)
        for package, placement in zip(found, merged.placements, strict=True)
        for path in package
    ]
    assert len(placed) == len(set(placed))
    assert not any(one.startswith(f"{other}/") for one in placed for other in placed)
