"""Faults of networks and registries, drawn from a seed and injected between client and registry."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from email.utils import formatdate
from enum import StrEnum
from random import Random

from .proxy import Cut, Interference, Proxy, Send
from .server import Exchange, refusal

_UPLOAD = re.compile(r"(/blobs/uploads/)[^/]+")
_CONTENT = re.compile(r"/v2/.+/(?:blobs|manifests)/[^/]+\Z")
_FIRST_MIB = 1 << 20
_SLOW_PIECES = 4


class Kind(StrEnum):
    """What can go wrong."""

    CUT_REQUEST = "the connection ends within the request's body"
    CUT_ANSWER = "the connection ends within the answer's body"
    LOST_ANSWER = "the registry does what was asked, and the connection ends before its answer"
    TOO_MANY = "429 with Retry-After"
    SERVER_ERROR = "500, 502 or 503, up to three times in a row"
    SLOW = "the body comes slowly"
    WRONG_BYTES = "one byte of the answer's body is another"
    EXPIRED = "401, as if the token had just expired"


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that has happened."""

    kind: Kind
    method: str
    path: str
    detail: str


class Faults:
    """The plan of a trial, and what has come of it.

    Every request draws with ``rate`` (0 to 1) from ``kinds``; no more than ``budget`` faults
    happen in all and ``in_a_row`` to requests that look alike; None is no limit. What a request
    draws depends on the seed, its method, its path (without the identity of an upload) and how
    many such requests there were, so a client that does one thing after the other meets the
    same faults again.
    """

    def __init__(
        self,
        seed: int,
        *,
        kinds: Collection[Kind] = tuple(Kind),
        rate: float = 0.3,
        budget: int | None = 4,
        in_a_row: int | None = 2,
    ) -> None:
        self.seed = seed
        self.kinds = tuple(kind for kind in Kind if kind in kinds)
        self.rate = rate
        self.budget = budget
        self.in_a_row = in_a_row
        self.injected: list[Injected] = []
        self._reserved = 0
        self._burst: list[int] = []
        self._seen: dict[str, int] = {}
        self._faulted: dict[str, int] = {}
        self._lock = threading.Lock()

    @classmethod
    def endless(cls, seed: int, *kinds: Kind) -> Faults:
        """Every request that can fails, for ever: clients must give up."""
        return cls(seed, kinds=kinds or tuple(Kind), rate=1.0, budget=None, in_a_row=None)

    def draw(self, exchange: Exchange) -> Fault | None:
        """What happens to this request, or nothing; :meth:`Fault.settle` must follow."""
        alike = _UPLOAD.sub(r"\1", exchange.path)
        key = f"{exchange.method} {alike}"
        with self._lock:
            number = self._seen[key] = self._seen.get(key, -1) + 1
            random = Random(f"{self.seed} {key} {number}")
            if self._spent():
                return None
            if self._burst:
                self._reserved += 1
                return Fault(self, exchange, Kind.SERVER_ERROR, random, self._burst.pop(), key)
            possible = [kind for kind in self.kinds if _can_happen(kind, exchange)]
            tired = self.in_a_row is not None and self._faulted.get(key, 0) >= self.in_a_row
            if tired or not possible or random.random() >= self.rate:
                self._faulted[key] = 0
                return None
            kind, status = random.choice(possible), 429
            if kind is Kind.SERVER_ERROR:
                statuses = random.choices((500, 502, 503), k=random.randint(1, 3))
                status, self._burst = statuses[0], statuses[1:]
            self._reserved += 1
            return Fault(self, exchange, kind, random, status, key)

    def _spent(self) -> bool:
        spent = len(self.injected) + self._reserved
        return self.budget is not None and spent >= self.budget

    def happened(self, fault: Injected, key: str) -> None:
        with self._lock:
            self.injected.append(fault)
            self._reserved -= 1
            self._faulted[key] = self._faulted.get(key, 0) + 1

    def did_not_happen(self, key: str) -> None:
        """A cut beyond the end of a body, say: it does not count."""
        with self._lock:
            self._reserved -= 1
            self._faulted[key] = 0


@dataclass(slots=True)
class Fault:
    """One fault that is to happen to one request."""

    plan: Faults
    exchange: Exchange
    kind: Kind
    random: Random
    status: int
    key: str
    settled: bool = False

    def happens(self, detail: str) -> None:
        """Write it down; call this before the client can notice."""
        self.settled = True
        path = self.exchange.path
        self.plan.happened(Injected(self.kind, self.exchange.method, path, detail), self.key)

    def settle(self) -> None:
        """It happened by now or never will; call this, too, before the client can go on."""
        if not self.settled:
            self.settled = True
            self.plan.did_not_happen(self.key)


def _can_happen(kind: Kind, exchange: Exchange) -> bool:
    reads = exchange.method == "GET"
    brings = exchange.body.length != 0
    match kind:
        case Kind.CUT_REQUEST:
            return brings
        case Kind.CUT_ANSWER:
            return reads
        case Kind.WRONG_BYTES:
            return reads and _CONTENT.match(exchange.path) is not None
        case Kind.SLOW:
            return reads or brings
        case Kind.EXPIRED:
            return exchange.authorization[0] == "bearer"
        case _:
            return True


class _CutRequest(Interference):
    def __init__(self, fault: Fault) -> None:
        self._fault = fault

    def request_body(self, send: Send, length: int | None) -> Send:
        return _until(self._fault, send, self._fault.random.randrange(length or _FIRST_MIB))

    def before_answer(self, status: int) -> None:
        self._fault.settle()


class _CutAnswer(Interference):
    def __init__(self, fault: Fault) -> None:
        self._fault = fault

    def answer_body(self, send: Send, length: int) -> Send:
        return _until(self._fault, send, self._fault.random.randrange(length)) if length else send


def _until(fault: Fault, send: Send, offset: int) -> Send:
    """Pass on the first ``offset`` bytes, and then cut where more would come."""
    left = offset

    def limited(data: bytes) -> None:
        nonlocal left
        if len(data) <= left:
            left -= len(data)
            send(data)
            return
        if left:
            send(data[:left])
        fault.happens(f"after {offset} bytes")
        raise Cut

    return limited


class _LostAnswer(Interference):
    def __init__(self, fault: Fault) -> None:
        self._fault = fault

    def before_answer(self, status: int) -> None:
        self._fault.happens(f"the answer was {status}")
        raise Cut


class _WrongBytes(Interference):
    def __init__(self, fault: Fault) -> None:
        self._fault = fault

    def before_answer(self, status: int) -> None:
        if status not in (200, 206):
            self._fault.settle()

    def answer_body(self, send: Send, length: int) -> Send:
        if self._fault.settled or not length:
            return send
        place, seen = self._fault.random.randrange(length), 0
        self._fault.happens(f"byte {place}")

        def spoiled(data: bytes) -> None:
            nonlocal seen
            here, seen = place - seen, seen + len(data)
            if 0 <= here < len(data):
                data = data[:here] + bytes([data[here] ^ 0x55]) + data[here + 1 :]
            send(data)

        return spoiled


class _Slow(Interference):
    """Tens of milliseconds before each of the first few pieces, of either body."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._pauses = [fault.random.uniform(0.01, 0.05) for _ in range(_SLOW_PIECES)]

    def request_body(self, send: Send, length: int | None) -> Send:
        return self._slowly(send) if length != 0 else send

    def answer_body(self, send: Send, length: int) -> Send:
        return self._slowly(send) if length else send

    def _slowly(self, send: Send) -> Send:
        if not self._fault.settled:
            self._fault.happens(f"{sum(self._pauses) * 1000:.0f} ms in all")

        def slow(data: bytes) -> None:
            while self._pauses and len(data) > 1:
                time.sleep(self._pauses.pop())
                half = len(data) // 2
                send(data[:half])
                data = data[half:]
            send(data)

        return slow


class _Expired(Interference):
    """The registry sees no token, and so it asks for one in its own words."""

    without = frozenset({"authorization"})

    def __init__(self, fault: Fault) -> None:
        self._fault = fault

    def before_answer(self, status: int) -> None:
        self._fault.happens(f"the answer was {status}")


_INTERFERENCES: dict[Kind, Callable[[Fault], Interference]] = {
    Kind.CUT_REQUEST: _CutRequest,
    Kind.CUT_ANSWER: _CutAnswer,
    Kind.LOST_ANSWER: _LostAnswer,
    Kind.SLOW: _Slow,
    Kind.WRONG_BYTES: _WrongBytes,
    Kind.EXPIRED: _Expired,
}


class FaultyProxy(Proxy):
    """A proxy on 127.0.0.1 in front of a registry's ``address``, with faults."""

    def __init__(self, upstream: str, faults: Faults) -> None:
        super().__init__(upstream)
        self.faults = faults

    def handle(self, exchange: Exchange) -> None:
        fault = self.faults.draw(exchange)
        if fault is None:
            super().handle(exchange)
            return
        try:
            if interfere := _INTERFERENCES.get(fault.kind):
                self.forward(exchange, interfere(fault))
            else:
                self._refuse(exchange, fault)
        except Cut:
            exchange.cut(reset=fault.random.random() < 0.5)
        finally:
            fault.settle()

    def _refuse(self, exchange: Exchange, fault: Fault) -> None:
        headers, code = {}, "UNKNOWN"
        if fault.kind is Kind.TOO_MANY:
            date = formatdate(time.time() + 1, usegmt=True)
            headers["Retry-After"] = fault.random.choice(["0", "1", date])
            code = "TOOMANYREQUESTS"
        fault.happens(f"{fault.status} {headers.get('Retry-After', '')}".strip())
        exchange.answer(refusal(fault.status, code, "try again later", headers))
