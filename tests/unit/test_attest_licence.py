"""Licences: SPDX expressions are kept, everything else keeps its words and claims nothing."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixi_ship.attest.licence import declared_licence, parsed


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("MIT", "MIT"),
        ("mit", "MIT"),
        ("BSD-3-Clause and MIT", "BSD-3-Clause AND MIT"),
        ("GPL-3.0", "GPL-3.0-only"),
        ("GPL-3.0-only WITH GCC-exception-3.1", "GPL-3.0-only WITH GCC-exception-3.1"),
        ("MIT AND (Apache-2.0 OR BSD-2-Clause)", "MIT AND (Apache-2.0 OR BSD-2-Clause)"),
    ],
)
def test_expression(text: str, expression: str) -> None:
    """An expression of the SPDX list, in canonical spelling."""
    found = declared_licence(text)
    assert found is not None
    assert (found.expression, found.is_expression, found.references) == (expression, True, ())


def test_own_references_stay() -> None:
    """A recipe's ``LicenseRef-`` is not exchanged for somebody else's, and is explained."""
    found = declared_licence("LicenseRef-Commercial or MIT")
    assert found is not None
    assert found.expression == "LicenseRef-Commercial OR MIT"
    assert [name for name, _ in found.references] == ["LicenseRef-Commercial"]


@pytest.mark.parametrize(
    "text",
    [
        "BSD 3-Clause",
        "MIT/X11 Derivative",
        "GPL 2 and LGPL3",
        "LGPL-2.0-or-later WITH exceptions",
        "MIT AND Unheard-Of",
        "GCC-exception-3.1",
        "LicenseRef-under_score",
        "DocumentRef-other:LicenseRef-x",
        "MIT AND",
        "(MIT",
        "Qwt, Version 1.0",
        "©",
    ],
)
def test_other_texts_keep_their_words(text: str) -> None:
    """One reference stands for the whole text, which is kept as it is."""
    found = declared_licence(text)
    assert found is not None
    assert not found.is_expression
    assert found.references == ((found.expression, text),)


@pytest.mark.parametrize("text", [None, "", "  ", "None", "UNKNOWN", "NOASSERTION"])
def test_nothing_is_nothing(text: str | None) -> None:
    """What says nothing gives nothing."""
    assert declared_licence(text) is None


def test_texts_that_look_alike_stay_apart() -> None:
    """Punctuation is lost in the reference's name, not in its digest."""
    found = {text: declared_licence(text) for text in ("BSD 3 Clause!", "BSD-3 Clause!")}
    assert len({each.expression for each in found.values() if each}) == 2


@given(st.text(min_size=1, max_size=80))
def test_any_text_gives_a_valid_expression(text: str) -> None:
    """SPDX 2.3, section 10.1 and annex D: letters, digits, ``.`` and ``-``; each reference once."""
    found = declared_licence(text)
    if found is None:
        return
    assert str(parsed(found.expression)) == found.expression
    for name, words in found.references:
        assert re.fullmatch(r"LicenseRef-[A-Za-z0-9.-]+", name)
        assert words
