"""How a job of a function can fail, as exceptions."""

from __future__ import annotations

from pixi_ship.errors import PixiShipError
from pixi_ship.scheduler.state import State


class JobFailed(PixiShipError):
    """A job ended without a result: killed, out of memory or time, cancelled, held, lost.

    state, status, reason: as the scheduler has them; status is the exit code, None where there
    is none. stderr: the end of what it wrote.
    """

    def __init__(
        self, what: str, state: State, status: int | None, reason: str, stderr: str
    ) -> None:
        code = "" if status is None else f" with exit code {status}"
        why = f" ({reason})" if reason else ""
        super().__init__(
            f"{what} is {state}{code}{why}, and left no result"
            + (f"; the end of its stderr:\n{stderr}" if stderr else "")
        )
        self._what = what
        self.state = state
        self.status = status
        self.reason = reason
        self.stderr = stderr

    def __reduce__(self) -> tuple[type[JobFailed], tuple[object, ...]]:
        return JobFailed, (self._what, self.state, self.status, self.reason, self.stderr)


class FunctionFailed(PixiShipError):
    """A function raised, or returned, what cannot come back as it is.

    kind: the exception's type, by name. traceback: of the job, as text.
    """

    def __init__(
        self, message: str, *, kind: str = "", traceback: str = "", hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.traceback = traceback


class RemoteTraceback(Exception):
    """The cause of an exception that came back from a job: the traceback there, as text."""

    def __init__(self, traceback: str) -> None:
        super().__init__(traceback)
        self.traceback = traceback

    def __str__(self) -> str:
        return f'\n"""\n{self.traceback}"""'
