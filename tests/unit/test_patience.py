"""How often and how long apart requests are tried again, without a request and without waiting."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixi_ship.registry.patience import (
    RETRIED,
    Patience,
    certificate_refused,
    cut_by,
    reason,
    retry_after,
    speaks_no_tls,
)


class Clock(threading.Event):
    """Notes how long it should wait, and waits not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waited.append(timeout)
        return self.is_set()


def waits(chance: float, asked: float | None = None) -> tuple[list[float], int]:
    """All pauses of somebody who only fails, and how many tries that makes."""
    clock = Clock()
    patience = Patience(stop=clock, chance=lambda: chance)
    failures = 1
    while patience.pause(failures, asked):
        failures += 1
    return clock.waited, failures


class TestPause:
    def test_pauses_double_up_to_the_longest(self) -> None:
        longest, tries = waits(1.0)
        assert longest == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
        assert tries == 8

    def test_half_is_certain_and_half_is_chance(self) -> None:
        shortest, _ = waits(0.0)
        assert shortest == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0]

    @given(st.floats(0, 1, exclude_max=True), st.integers(1, 10_000))
    def test_no_pause_is_longer_than_the_longest(self, chance: float, failures: int) -> None:
        clock = Clock()
        patience = Patience(attempts=10_001, stop=clock, chance=lambda: chance)
        assert patience.pause(failures, None)
        assert 0.25 <= clock.waited[0] <= 30.0

    def test_what_is_asked_for_is_waited_for(self) -> None:
        """And a little of chance on top, so that not all come back at the same moment."""
        found, tries = waits(0.5, asked=7.0)
        assert found == [7.25] * 7
        assert tries == 8

    def test_at_once_is_not_at_once(self) -> None:
        found, _ = waits(1.0, asked=0.0)
        assert found == [0.5] * 7

    def test_too_long_is_not_waited_for(self) -> None:
        assert waits(1.0, asked=300.1) == ([], 1)
        assert waits(1.0, asked=float("inf")) == ([], 1)
        assert len(waits(1.0, asked=300.0)[0]) == 7

    def test_costly_failures_end_it_sooner(self) -> None:
        patience = Patience(stop=Clock())
        assert patience.pause(4, None)
        assert not patience.pause(8, None)

    def test_once_stopped_there_is_no_other_try(self) -> None:
        patience = Patience()
        patience.stop.set()
        assert not patience.pause(1, None)
        assert not patience.pause(1, 0.0)

    def test_a_stop_ends_a_pause(self) -> None:
        """From another thread, in the middle of an hour's wait."""
        patience = Patience(first=3600.0, longest=3600.0)
        found: list[bool] = []
        thread = threading.Thread(target=lambda: found.append(patience.pause(1, None)))
        thread.start()
        patience.stop.set()
        thread.join(30)
        assert found == [False]


NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def http_date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("0", 0.0),
            (" 120 ", 120.0),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("\u00b2", None),
            ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
            (http_date(NOW + timedelta(seconds=90)), 90.0),
            (http_date(NOW - timedelta(seconds=90)), 0.0),
            ("Mon, 23 Nov 2026 13:00:10 +0100", 10.0),
        ],
    )
    def test_forms(self, text: str, seconds: float | None) -> None:
        assert retry_after({"retry-after": text, "date": http_date(NOW)}) == seconds

    def test_a_date_needs_the_servers_own(self) -> None:
        later = http_date(NOW + timedelta(seconds=90))
        for headers in ({}, {"date": "today"}, {"date": "Mon, 23 Nov 2026 12:00:00 -0000"}):
            assert retry_after({"retry-after": later, **headers}) is None
        assert retry_after({"date": http_date(NOW)}) is None

    @given(st.text(max_size=60), st.text(max_size=60))
    def test_any_text(self, text: str, date: str) -> None:
        found = retry_after({"retry-after": text, "date": date})
        assert found is None or found >= 0

    @given(st.integers(0, 10**400), st.booleans())
    def test_any_number(self, number: int, signed: bool) -> None:
        found = retry_after({"retry-after": f"{'-' if signed else ''}{number}"})
        assert (found is None) == signed
        assert signed or (found is not None and found >= 0)


def caused(error: httpx.HTTPError, cause: BaseException) -> httpx.HTTPError:
    error.__cause__ = cause
    return error


def tls_error(said: str, kind: type[ssl.SSLError] = ssl.SSLError) -> ssl.SSLError:
    made = kind(1, f"[SSL: {said}] text")
    made.reason = said
    return made


CONNECT = httpx.ConnectError("no")


class TestCuts:
    @pytest.mark.parametrize(
        ("error", "words", "cost"),
        [
            (httpx.ReadError("https://u:hunter2@h/x"), "the connection was cut", 1),
            (httpx.WriteError("x"), "the connection was cut", 1),
            (httpx.RemoteProtocolError("x"), "the connection was cut", 1),
            (httpx.ConnectTimeout("x"), "no connection in time", 1),
            (httpx.ReadTimeout("x"), "no byte came or went for too long", 1),
            (httpx.WriteTimeout("x"), "no byte came or went for too long", 1),
            (httpx.PoolTimeout("x"), "no byte came or went for too long", 1),
            (httpx.ConnectError(""), "no connection", 2),
            (httpx.ConnectError("refused"), "no connection (refused)", 2),
            (
                httpx.ConnectError("to https://u:hunter2@h/x?token=hunter2"),
                "no connection (to https://h/x)",
                2,
            ),
            (
                caused(httpx.ConnectError("no such name"), socket.gaierror(-2, "x")),
                "no connection (no such name)",
                4,
            ),
            (httpx.ProxyError("407 hunter2"), "the proxy refused", 1),
            (httpx.TooManyRedirects("x"), "it redirects in circles", 1),
            (httpx.UnsupportedProtocol("x"), "the connection was cut", 2),
        ],
    )
    def test_what_is_said_and_what_it_costs(
        self, error: httpx.HTTPError, words: str, cost: int
    ) -> None:
        """What will most likely come back the same costs more tries; no text holds a secret."""
        found = cut_by(error)
        assert (found.reason, found.cost, found.asked) == (words, cost, None)
        assert reason(error) == words

    def test_a_certificate_refused(self) -> None:
        verification = tls_error("CERTIFICATE_VERIFY_FAILED", ssl.SSLCertVerificationError)
        assert certificate_refused(caused(httpx.ConnectError("x"), verification))
        assert not certificate_refused(caused(httpx.ConnectError("x"), tls_error("OTHER")))
        assert not certificate_refused(CONNECT)

    def test_no_tls(self) -> None:
        assert speaks_no_tls(caused(httpx.ConnectError("x"), tls_error("WRONG_VERSION_NUMBER")))
        assert not speaks_no_tls(caused(httpx.ConnectError("x"), tls_error("OTHER")))
        assert not speaks_no_tls(CONNECT)

    def test_which_answers_are_tried_again(self) -> None:
        """Those that say "not now"; 501 and 505 say "never"."""
        assert {status for status in range(400, 600) if status in RETRIED} == {
            *(408, 425, 429),
            *(500, 502, 503, 504),
        }
