"""How often, and how long apart, a request is tried again."""

from __future__ import annotations

import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

import httpx

from pixi_ship.redaction import redacted_text

# Statuses that say "not now" rather than "no" (RFC 9110, RFC 6585).
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
# What OpenSSL says of an answer that is no TLS record; the words depend on its version.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})


class Cut(Exception):
    """A try came to nothing, another may not.

    asked: seconds the registry wants to be left alone. cost: how many failures it counts for;
    what the network did costs one, what will most likely come back the same more.
    """

    def __init__(self, reason: str, asked: float | None = None, *, cost: int = 1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.asked = asked
        self.cost = cost


@dataclass(frozen=True, slots=True)
class Patience:
    """A policy: exponential backoff with jitter, and what the registry asks for.

    attempts: tries in a row that brought nothing forward. first, longest: seconds between
    tries, before jitter. longest_asked: seconds of ``Retry-After`` that are waited for at most.
    stop: set to give up at once, from another thread.
    """

    attempts: int = 8
    first: float = 0.5
    longest: float = 30.0
    longest_asked: float = 300.0
    stop: threading.Event = field(default_factory=threading.Event)
    chance: Callable[[], float] = random.random

    def pause(self, failures: int, asked: float | None) -> bool:
        """Wait before try number ``failures + 1``; False where there shall be none."""
        if failures >= self.attempts or self.stop.is_set():
            return False
        if asked is not None:
            if asked > self.longest_asked:
                return False
            return not self.stop.wait(asked + self.first * self.chance())
        ceiling = min(self.longest, self.first * 2 ** min(failures - 1, 60))
        # Half of it is certain, half is chance: clients that failed together do not return so.
        return not self.stop.wait(ceiling * (0.5 + 0.5 * self.chance()))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a response asks to wait; None where it does not say (RFC 9110 10.2.3).

    A date is counted from the response's own ``Date``, so that no clock here matters.
    """
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        until, now = parsedate_to_datetime(text), parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None


def cut_by(error: httpx.HTTPError) -> Cut:
    """What a network error means for another try."""
    if isinstance(error, httpx.ConnectError | httpx.UnsupportedProtocol):
        unknown = any(isinstance(each, socket.gaierror) for each in _causes(error))
        return Cut(reason(error), cost=4 if unknown else 2)
    return Cut(reason(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def certificate_refused(error: httpx.HTTPError) -> bool:
    """Whether it was our own check of the registry's certificate that ended the connection."""
    return any(isinstance(each, ssl.SSLCertVerificationError) for each in _causes(error))


def speaks_no_tls(error: httpx.HTTPError) -> bool:
    """Whether what answered was no TLS at all, most likely plain HTTP."""
    return any(isinstance(each, ssl.SSLError) and each.reason in _NO_TLS for each in _causes(error))


def reason(error: httpx.HTTPError) -> str:
    """A network error in words; its own text may hold URLs with secrets."""
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, httpx.TimeoutException):
        return "no byte came or went for too long"
    if isinstance(error, httpx.ConnectError):
        text = redacted_text(str(error))
        return f"no connection ({text})" if text else "no connection"
    if isinstance(error, httpx.ProxyError):
        return "the proxy refused"
    if isinstance(error, httpx.TooManyRedirects):
        return "it redirects in circles"
    return "the connection was cut"
