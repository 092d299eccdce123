"""The one error of the lab."""

from __future__ import annotations


class LabError(Exception):
    """Something the lab could not do: `str()` is a sentence for a person, `hint` the next step."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
