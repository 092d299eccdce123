"""The matrix as a table, for a terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .expected import REASONS, reason_for
from .matrix import RUNTIMES, Cell
from .probe import CHECKS

BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"


def lines(rows: Sequence[Sequence[Cell]]) -> Iterator[str]:
    """What was found, then the reasons for each "no", and what was not expected."""
    width = max(len(row[0].runtime.name) for row in rows)
    columns = [max(len(check.name), 3) for check in CHECKS]
    names = (check.name.ljust(column) for check, column in zip(CHECKS, columns, strict=True))
    yield "  ".join(["".ljust(width), *names]).rstrip()
    for row in rows:
        words = (_word(cell).ljust(column) for cell, column in zip(row, columns, strict=True))
        yield "  ".join([row[0].runtime.name.ljust(width), *words]).rstrip()
    reasons = dict.fromkeys(cell.why for row in rows for cell in row if _is_told(cell))
    for why in reasons:
        yield f"\n{'; '.join(_where(rows, why))}:\n  {why}"
    for cell in (cell for row in rows for cell in row if not cell.as_expected):
        yield f"\nNOT AS EXPECTED  {cell}"


def _where(rows: Sequence[Sequence[Cell]], why: str | None) -> Iterator[str]:
    for row in rows:
        if names := [cell.check.name for cell in row if cell.why == why]:
            told = "all" if len(names) == len(row) else ", ".join(names)
            yield f"{row[0].runtime.name} ({told})"


def _is_told(cell: Cell) -> bool:
    return cell.why is not None and cell.holds is not True


def _word(cell: Cell) -> str:
    if cell.holds is None:
        return "-"
    word = "yes" if cell.holds else "no"
    return word if cell.as_expected else f"{word.upper()}!"


def markdown() -> str:
    """What is expected, as the page of the documentation has it, between its two marks."""
    numbers = {text: number for number, text in enumerate(_told(), 1)}
    heads = ("started by", *(check.name for check in CHECKS))
    rows = [f"| runtime | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for runtime in RUNTIMES:
        name = runtime.name if runtime.real else f"{runtime.name} *(rule)*"
        cells = []
        for check in CHECKS:
            why = reason_for(runtime.name, check.name)
            cells.append("yes" if why is None else f"**no** {numbers[why]}")
        rows.append(f"| {name} | `{runtime.started}` | {' | '.join(cells)} |")
    checks = [f"- *{check.name}*: {check.meaning}" for check in CHECKS]
    reasons = [f"{number}. {text}" for text, number in numbers.items()]
    return "\n".join([BEGIN, "", *rows, "", *checks, "", *reasons, "", END])


def _told() -> list[str]:
    """The reasons in use, in the order of their list."""
    used = {reason_for(runtime.name, check.name) for runtime in RUNTIMES for check in CHECKS}
    return [text for text in REASONS.values() if text in used]


def replaced(page: str) -> str:
    """A page with the table between its marks made anew; raises ValueError without marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no lines {BEGIN} and {END}")
    return f"{before}{markdown()}{after}"
