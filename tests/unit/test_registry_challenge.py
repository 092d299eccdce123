"""Challenges of registries are read by RFC 9110, and secrets go only where they may."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixi_ship.errors import RegistryError
from pixi_ship.registry.challenge import (
    MAX_TOKEN_ANSWER,
    Basic,
    Bearer,
    Challenge,
    Token,
    merged_scopes,
    parse_challenges,
    parse_token,
    preferred,
    token_request,
)
from pixi_ship.registry.credentials import Credentials

SECRET = "hunter2"
HUB = Bearer("https://auth.docker.io/token", "registry.docker.io", "repository:samalba/my-app:pull")
PULL = "repository:team/image:pull"
PUSH = "repository:team/image:pull,push"


class TestHeader:
    @pytest.mark.parametrize(
        ("header", "challenges"),
        [
            (
                'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",'
                'scope="repository:samalba/my-app:pull"',
                [HUB],
            ),
            (
                'Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push '
                'repository:c/d:pull",error="insufficient_scope"',
                [
                    Bearer(
                        "https://a/t",
                        "s",
                        "repository:a/b:pull,push repository:c/d:pull",
                        "insufficient_scope",
                    )
                ],
            ),
            ('Basic realm="a, \\"b\\" \\\\ c=d"', [Basic('a, "b" \\ c=d')]),
            ("Basic", [Basic()]),
            ("bASIC REALM=x", [Basic("x")]),
            ('Basic realm = "x" , charset="UTF-8"', [Basic("x")]),
            ("Bearer realm=https://a/t?x=1,service=s", [Bearer("https://a/t?x=1", "s")]),
            ('Basic realm="x", Bearer realm="https://a/t"', [Basic("x"), Bearer("https://a/t")]),
            ('Negotiate, Basic realm="x"', [Basic("x")]),
            ('Negotiate Basic, Newauth Basic realm="y"', []),
            ('Negotiate YIIabc/+-._~==, Basic realm="x"', [Basic("x")]),
            # The example of RFC 9110 section 11.6.1.
            (
                'Basic realm="simple", Newauth realm="apps", type=1, title="Login to \\"apps\\""',
                [Basic("simple")],
            ),
            (
                'Newauth realm="apps", type=1, title="Bearer realm=evil", Basic realm="simple"',
                [Basic("simple")],
            ),
            (' , ,Basic realm="x",, ,', [Basic("x")]),
            ('\tBasic\trealm="x"\t', [Basic("x")]),
            ('Basic realm="x",realm="y"', [Basic("x")]),
            ('Basic realm="x" junk, Bearer realm="https://a/t"', [Basic(), Bearer("https://a/t")]),
            ('Bearer realm="https://a/t', [Bearer("")]),
            ('realm="x"', []),
            ("", []),
            ('"Basic"', []),
            ("=,=,(Basic),[]", []),
        ],
    )
    def test_examples(self, header: str, challenges: list[Challenge]) -> None:
        assert parse_challenges(header) == challenges

    def test_a_token_is_preferred(self) -> None:
        bearer = Bearer("https://a/t")
        assert preferred([Basic(), bearer, HUB]) is bearer
        assert preferred([Basic("x"), Basic("y")]) == Basic("x")
        assert preferred([]) is None


WORD = st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,9}", fullmatch=True)
TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"))
TOKEN68 = st.from_regex(r"[A-Za-z0-9._~+/-]{1,9}={0,2}", fullmatch=True)
PARAMETERS = st.dictionaries(
    st.sampled_from(["realm", "service", "scope", "error", "x-other"]), TEXT, max_size=5
)
SCHEMES = st.sampled_from(["Bearer", "Basic", "Digest", "Negotiate"])


@st.composite
def written(draw: st.DrawFn) -> tuple[str, list[Challenge]]:
    """A header in any of the spellings that RFC 9110 allows, and what it says."""
    elements: list[str] = []
    said: list[Challenge] = []
    for _ in range(draw(st.integers(0, 4))):
        scheme = draw(SCHEMES)
        name = draw(st.sampled_from([scheme, scheme.lower(), scheme.upper()]))
        if scheme in ("Digest", "Negotiate") and draw(st.booleans()):
            elements.append(f"{name} {draw(TOKEN68)}")
            continue
        parameters = draw(PARAMETERS)
        pairs = [_pair(draw, key, value) for key, value in parameters.items()]
        first = pairs[:1]
        elements += [" ".join([name, *first]), *pairs[1:]]
        if scheme == "Bearer":
            four = (parameters.get(key, "") for key in ("realm", "service", "scope", "error"))
            said.append(Bearer(*four))
        elif scheme == "Basic":
            said.append(Basic(parameters.get("realm", "")))
    comma = draw(st.sampled_from([",", ", ", " ,\t", ",,", ", ,"]))
    return comma.join(elements), said


def _pair(draw: st.DrawFn, key: str, value: str) -> str:
    equals = draw(st.sampled_from(["=", " =", "= ", "\t=\t"]))
    name = draw(st.sampled_from([key, key.title()]))
    if re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", value) and draw(st.booleans()):
        return f"{name}{equals}{value}"
    escaped = re.sub(r'([\\"])', r"\\\1", value)
    return f'{name}{equals}"{escaped}"'


@given(written())
def test_every_spelling_is_read(both: tuple[str, list[Challenge]]) -> None:
    header, said = both
    assert parse_challenges(header) == said


@given(st.text(st.sampled_from('Basic Bearer realm="\\,= \t(x')) | st.text())
def test_no_header_breaks_it(header: str) -> None:
    names = re.findall(r"(?i)basic|bearer", header)
    assert len(parse_challenges(header)) <= len(names)


@pytest.mark.parametrize("piece", ['a="', 'a="\\', "a=", ",", "Basic ", '"', "a ", 'a="b', "\t"])
def test_long_headers_take_few_steps(piece: str) -> None:
    """A parser that tried again from every place would not come to an end with these."""
    header = piece * (1_000_000 // len(piece))
    assert parse_challenges(f"{header}, Basic realm=x")[-1:] in ([Basic("x")], [Basic()], [])


def query(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


class TestRequest:
    def test_anonymous(self) -> None:
        request = token_request(HUB, "https://registry-1.docker.io", None, [])
        assert request.method == "GET"
        assert request.url == (
            "https://auth.docker.io/token?service=registry.docker.io&client_id=pixi-ship"
            "&scope=repository:samalba/my-app:pull"
        )
        assert request.headers == {"Accept": "application/json"}
        assert request.body is None

    def test_password(self) -> None:
        joe = Credentials("joe", SECRET)
        request = token_request(HUB, "https://registry-1.docker.io", joe, [PULL])
        assert request.headers["Authorization"] == joe.basic()
        assert ("account", "joe") in query(request.url)
        assert SECRET not in request.url + repr(request)
        assert joe.basic() not in repr(request)

    def test_identity_token(self) -> None:
        login = Credentials("0000", identity_token=f"{SECRET}&scope=x")
        challenge = Bearer("https://a.example/oauth2/token?tenant=7", "a.example", PULL)
        request = token_request(challenge, "https://a.example", login, [PUSH, "registry:catalog:*"])
        assert request.method == "POST"
        assert request.url == "https://a.example/oauth2/token?tenant=7"
        assert "Authorization" not in request.headers
        assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert request.body is not None
        assert parse_qsl(request.body.decode()) == [
            ("service", "a.example"),
            ("client_id", "pixi-ship"),
            ("grant_type", "refresh_token"),
            ("refresh_token", f"{SECRET}&scope=x"),
            ("scope", f"{PUSH} registry:catalog:*"),
        ]
        assert SECRET not in repr(request)

    def test_several_scopes(self) -> None:
        challenge = Bearer("https://a/t?old=1#part", "a&b", f"{PULL}  repository:base:pull")
        request = token_request(challenge, "https://a", None, [PUSH])
        assert request.url.startswith("https://a/t?old=1&")
        assert "#" not in request.url
        assert query(request.url) == [
            ("old", "1"),
            ("service", "a&b"),
            ("client_id", "pixi-ship"),
            ("scope", PUSH),
            ("scope", "repository:base:pull"),
        ]

    @pytest.mark.parametrize("login", [None, Credentials("joe", SECRET)])
    @pytest.mark.parametrize(
        ("realm", "registry", "problem"),
        [
            ("http://a.example/token", "https://a.example", "is not encrypted"),
            ("HTTP://a.example/token", "https://a.example", "is not encrypted"),
            ("", "https://a.example", "is no http address with a host"),
            ("/token", "https://a.example", "is no http address with a host"),
            ("https:///token", "https://a.example", "is no http address with a host"),
            ("https://:443/token", "https://a.example", "is no http address with a host"),
            ("https://[::1/token", "https://a.example", "is no http address with a host"),
            ("https://a.example:x/", "https://a.example", "is no http address with a host"),
            ("https://a.example:99999/", "https://a.example", "is no http address with a host"),
            ("file://a.example/etc/passwd", "https://a.example", "is no http address with a host"),
            ("https://a.example/a b", "https://a.example", "is no http address with a host"),
            ("https://a.example/\r\nX: y", "http://a.example", "is no http address with a host"),
            ("https://j:hunter2@a.example/", "https://a.example", "has a login in its address"),
        ],
    )
    def test_refused(
        self, realm: str, registry: str, problem: str, login: Credentials | None
    ) -> None:
        with pytest.raises(RegistryError) as caught:
            token_request(Bearer(realm), registry, login, [PULL])
        assert str(caught.value).startswith(f"logging in to {registry}: the token server '")
        assert problem in str(caught.value)
        assert caught.value.hint
        assert SECRET not in str(caught.value)
        assert not re.search(r"[\r\n]", str(caught.value))

    def test_a_long_realm_is_cut_in_the_error(self) -> None:
        with pytest.raises(RegistryError) as caught:
            token_request(Bearer("http://a.example/" + "x" * 10_000), "https://a", None, [])
        assert len(str(caught.value)) < 500

    def test_what_may_be(self) -> None:
        for realm, registry in [
            ("http://127.0.0.1:5001/token", "http://127.0.0.1:5000"),
            ("https://auth.example/token", "http://127.0.0.1:5000"),
            ("https://[::1]:5000/token", "https://a.example"),
        ]:
            assert token_request(Bearer(realm), registry, None, []).url.startswith(realm)

    @given(st.text(), st.sampled_from(["http://", "https://", "//", "ftp://", ""]))
    def test_secrets_go_to_https_only(self, rest: str, scheme: str) -> None:
        login = Credentials("joe", SECRET)
        try:
            request = token_request(Bearer(scheme + rest), "https://a.example", login, [])
        except RegistryError:
            return
        assert urlsplit(request.url).scheme == "https"
        assert urlsplit(request.url).hostname


@given(
    st.lists(
        st.builds(
            lambda name, actions: f"repository:{name}:{','.join(actions)}",
            st.sampled_from(["a", "b/c", "host:5000/d"]),
            st.lists(st.sampled_from(["pull", "push", "*"]), min_size=1, unique=True),
        )
    )
)
def test_merged_scopes_allow_the_same(scopes: list[str]) -> None:
    def rights(rows: list[str]) -> list[tuple[str, str]]:
        cut = [row.rpartition(":") for row in rows]
        return [(name, action) for name, _, actions in cut for action in actions.split(",")]

    merged = merged_scopes(scopes)
    assert set(rights(merged)) == set(rights(scopes))
    assert len(rights(merged)) == len(set(rights(merged)))
    assert len({row.rpartition(":")[0] for row in merged}) == len(merged)


FIELDS = st.sampled_from(["token", "access_token", "expires_in", "issued_at"])
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
ANSWERS = st.dictionaries(FIELDS, VALUES).map(lambda answer: json.dumps(answer).encode())
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


class TestToken:
    @pytest.mark.parametrize(
        ("document", "token"),
        [
            ({"token": "t"}, Token("t", 60.0)),
            ({"access_token": "t"}, Token("t", 60.0)),
            ({"token": "t", "access_token": "u"}, Token("t", 60.0)),
            ({"token": "", "access_token": "u"}, Token("u", 60.0)),
            ({"token": "t", "expires_in": 3600}, Token("t", 3600.0)),
            ({"token": "t", "expires_in": 0.5}, Token("t", 0.5)),
            ({"token": "t", "expires_in": "300"}, Token("t", 300.0)),
            ({"token": "t", "expires_in": 0}, Token("t", 60.0)),
            ({"token": "t", "expires_in": -5}, Token("t", 60.0)),
            ({"token": "t", "expires_in": True}, Token("t", 60.0)),
            ({"token": "t", "expires_in": None}, Token("t", 60.0)),
            ({"token": "t", "expires_in": [1]}, Token("t", 60.0)),
            ({"token": "t", "expires_in": float("nan")}, Token("t", 60.0)),
            ({"token": "t", "expires_in": float("inf")}, Token("t", 86_400.0)),
            ({"token": "t", "expires_in": 10**400}, Token("t", 86_400.0)),
            ({"token": "t", "issued_at": "2024-05-01T12:00:00Z"}, Token("t", 60.0, NOON)),
            ({"token": "t", "issued_at": "2024-05-01T14:00:00+02:00"}, Token("t", 60.0, NOON)),
            (
                {"token": "t", "issued_at": "2024-05-01T12:00:00.123456789Z"},
                Token("t", 60.0, NOON.replace(microsecond=123456)),
            ),
            ({"token": "t", "issued_at": "2024-05-01T12:00:00"}, Token("t", 60.0, NOON)),
            ({"token": "t", "issued_at": "yesterday"}, Token("t", 60.0)),
            ({"token": "t", "issued_at": 1714564800}, Token("t", 60.0)),
        ],
        ids=range(21),
    )
    def test_answers(self, document: object, token: Token) -> None:
        assert parse_token(json.dumps(document).encode(), HUB.realm) == token

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            (b"", "it is not a JSON object"),
            (b"<html>hunter2</html>", "it is not a JSON object"),
            (b'["hunter2"]', "it is not a JSON object"),
            (b"\xff", "it is not a JSON object"),
            (b"[" * 100_000, "it is not a JSON object"),
            (b'{"refresh_token": "hunter2"}', "there is no token in it"),
            (b'{"token": 7}', "there is no token in it"),
            (b'{"token": "hunter2\\r\\nX: y"}', "there is no token in it"),
            (b'{"token": "hunt er2"}', "there is no token in it"),
            (b'{"token": "hunter2"}' + b" " * MAX_TOKEN_ANSWER, "it has more than 1048576 bytes"),
        ],
        ids=range(10),
    )
    def test_nonsense(self, body: bytes, problem: str) -> None:
        with pytest.raises(RegistryError) as caught:
            parse_token(body, "https://a.example/token?secret=hunter2")
        wanted = f"reading the answer of the token server https://a.example/token: {problem}"
        assert str(caught.value) == wanted
        assert caught.value.hint
        assert caught.value.__cause__ is None

    def test_is_not_shown(self) -> None:
        assert SECRET not in repr(parse_token(b'{"token": "hunter2"}', HUB.realm))

    def test_seconds_left(self) -> None:
        token = Token("t", 300.0, NOON)
        assert token.seconds_left(NOON + timedelta(seconds=100)) == 200.0
        assert token.seconds_left(NOON + timedelta(seconds=400)) == -100.0
        assert token.seconds_left(NOON - timedelta(hours=1)) == 300.0
        east = timezone(timedelta(hours=9))
        assert token.seconds_left(NOON.astimezone(east)) == 300.0
        assert Token("t", 300.0).seconds_left(NOON) == 300.0

    @given(st.binary() | ANSWERS)
    def test_any_answer_is_a_token_or_an_error(self, body: bytes) -> None:
        try:
            token = parse_token(body, HUB.realm)
        except RegistryError:
            return
        assert re.fullmatch(r"[\x21-\x7e]+", token.value)
        assert 0 < token.expires_in <= 86_400
        assert token.seconds_left(NOON) <= token.expires_in
