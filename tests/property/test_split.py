"""How packages are spread over layers."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pixi_ship.layer.split import MAX_GROUPS, MAX_LAYERS, SOLO_SIZE, Unit, split


@st.composite
def units(draw: st.DrawFn) -> list[Unit]:
    names = draw(st.lists(st.text("abcdef", min_size=1, max_size=6), max_size=120, unique=True))
    sizes = st.integers(0, SOLO_SIZE - 1) | st.integers(SOLO_SIZE, SOLO_SIZE * 20)
    return [Unit(name, draw(sizes), (number,)) for number, name in enumerate(names)]


budgets = st.integers(1, MAX_LAYERS)


@given(units(), budgets)
def test_every_member_is_in_one_layer_and_layers_are_within_the_budget(
    found: list[Unit], budget: int
) -> None:
    layers = split(found, budget)
    assert sorted(member for layer in layers for member in layer) == list(range(len(found)))
    assert len(layers) <= budget
    assert all(layers)


@given(units(), budgets, st.randoms(use_true_random=False))
def test_the_order_of_units_does_not_matter(
    found: list[Unit], budget: int, chance: random.Random
) -> None:
    shuffled = chance.sample(found, len(found))
    assert split(shuffled, budget) == split(found, budget)


@given(units())
def test_big_packages_lie_below_small_ones(found: list[Unit]) -> None:
    if sum(unit.size >= SOLO_SIZE for unit in found) > MAX_LAYERS - MAX_GROUPS:
        return  # those that are left over share groups with small ones
    small = [
        all(found[member].size < SOLO_SIZE for member in layer)
        for layer in split(found, MAX_LAYERS)
    ]
    assert small == sorted(small)


@given(units(), budgets, st.data())
def test_a_small_update_leaves_every_layer_with_the_same_packages(
    found: list[Unit], budget: int, data: st.DataObject
) -> None:
    small = [number for number, unit in enumerate(found) if unit.size < SOLO_SIZE]
    if not small:
        return
    which = data.draw(st.sampled_from(small))
    updated = list(found)
    updated[which] = replace(found[which], size=data.draw(st.integers(0, SOLO_SIZE - 1)))
    assert split(updated, budget) == split(found, budget)


@given(units(), budgets, st.text("xyz", min_size=1, max_size=4))
def test_a_new_small_package_touches_one_layer_at_most(
    found: list[Unit], budget: int, name: str
) -> None:
    if len(found) <= budget or len(found) <= 16:
        return  # each had its own layer, or fills the first groups
    before = {frozenset(layer) for layer in split(found, budget)}
    grown = [*found, Unit(name, 1, (len(found),))]
    after = {frozenset(layer) for layer in split(grown, budget)}
    assert len(after - before) == 1
