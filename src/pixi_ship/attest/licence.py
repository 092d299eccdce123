"""Licences as SPDX writes them, from what conda records say, which may be anything.

Source: SPDX 2.3, annex D "SPDX license expressions" and section 10 "Other licensing information".
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache

from license_expression import (  # type: ignore[import-untyped]
    ExpressionError,
    LicenseExpression,
    LicenseSymbol,
    Licensing,
    get_spdx_licensing,
)

_REFERENCE = re.compile(r"LicenseRef-[A-Za-z0-9.-]+\Z")
_MAX_SLUG = 40
# Words that recipes write where they mean that nothing is known.
_UNKNOWN = frozenset({"", "none", "unknown", "noassertion"})


@dataclass(frozen=True, slots=True)
class Licence:
    """A declared licence: ``text`` as found, ``expression`` as SPDX takes it.

    is_expression: whether the text itself says it; otherwise the expression is one ``LicenseRef-``
    made for the text. references: each ``LicenseRef-`` in it, with what is known of it.
    """

    text: str
    expression: str
    is_expression: bool
    references: tuple[tuple[str, str], ...] = ()


@cache
def declared_licence(text: str | None) -> Licence | None:
    """Read what a record says of its licence; None where it says nothing.

    An expression of the SPDX list's identifiers and of ``LicenseRef-`` is taken as it is, in
    canonical spelling (``GPL-3.0`` is ``GPL-3.0-only``). Any other text is kept under a
    ``LicenseRef-`` of its own: nothing is guessed.
    """
    words = (text or "").strip()
    if words.lower() in _UNKNOWN:
        return None
    try:
        tree = _licensing().parse(words, strict=True)
        keys = sorted(_licensing().license_keys(tree))
    except (ExpressionError, AttributeError, TypeError):  # the parser trips over some texts
        return _unlisted(words)
    known = _licensing().known_symbols
    references = [key for key in keys if key not in known]
    if tree is None or not all(_REFERENCE.match(key) for key in references):
        return _unlisted(words)
    found = tuple((key, _text_of(key)) for key in references)
    return Licence(words, str(tree), True, found)


def parsed(expression: str) -> LicenseExpression:
    """The tree of an expression that :func:`declared_licence` gave."""
    return _licensing().parse(expression)


@cache
def _licensing() -> Licensing:
    """The identifiers of the SPDX list alone.

    The library's own table also knows ScanCode's ``LicenseRef-`` names and would put them in
    place of a record's.
    """
    symbols: dict[str, LicenseSymbol] = get_spdx_licensing().known_symbols
    return Licensing([each for key, each in symbols.items() if not key.startswith("LicenseRef-")])


def _unlisted(words: str) -> Licence:
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", words)[:_MAX_SLUG].strip("-.")
    # Texts that differ only in punctuation stay apart.
    name = f"LicenseRef-{slug}-{hashlib.sha256(words.encode()).hexdigest()[:8]}".replace("--", "-")
    return Licence(words, name, False, ((name, words),))


def _text_of(reference: str) -> str:
    return f"The package calls its licence {reference}; the text is in the package."
