"""A registry in this process: distribution-spec 1.1, in memory, strict, and watched."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from .access import AccessLog
from .authorization import TOKEN_PATH, Authorization, Bearer, Everyone, Scope
from .behaviour import Behaviour
from .blobs import Blobs, served
from .certificates import Certificate
from .graph import problems
from .manifests import Manifests
from .server import Answer, Exchange, LocalServer, refusal
from .store import Store
from .uploads import Uploads

_WORD = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = rf"({_WORD}(?:/{_WORD})*)"
_DIGEST = r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})"

_Endpoint = Callable[[Exchange, str, str], Answer]


class FakeRegistry:
    """The registry while the block lasts.

    ``log`` has a record of every request, ``store`` the contents, for tests to look at and to
    break. With ``Behaviour(redirect_blobs=True)`` blobs are fetched from another address, whose
    log is ``storage_log`` and which refuses requests that carry credentials.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        authorization: Authorization | None = None,
        tls: Certificate | None = None,
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.authorization = authorization or Everyone()
        self.store = Store()
        self.tls = tls
        self._server = LocalServer(self._handle, tls=tls)
        self._storage = LocalServer(self._handle_storage, tls=tls)
        self._stack = ExitStack()
        self._routes = self._made_routes()

    @property
    def address(self) -> str:
        """Host and port, as image references want them."""
        return self._server.address

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def log(self) -> AccessLog:
        return self._server.log

    @property
    def storage_log(self) -> AccessLog:
        return self._storage.log

    def integrity(self) -> list[str]:
        """What is missing or wrong below the tags; nothing is well."""
        return problems(self.store)

    def __enter__(self) -> Self:
        self._stack.enter_context(self._server)
        self._stack.enter_context(self._storage)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _made_routes(self) -> list[tuple[re.Pattern[str], dict[str, _Endpoint]]]:
        uploads = Uploads(self.store, self.behaviour)
        manifests = Manifests(self.store, self.behaviour)
        blobs = Blobs(self.store, self.behaviour, self._elsewhere)
        table: dict[str, dict[str, _Endpoint]] = {
            rf"/v2/{_NAME}/blobs/uploads/?()": {"POST": uploads.begin},
            rf"/v2/{_NAME}/blobs/uploads/([0-9a-f-]+)": {
                "PATCH": uploads.send,
                "PUT": uploads.close,
                "GET": uploads.status,
                "DELETE": uploads.give_up,
            },
            rf"/v2/{_NAME}/blobs/{_DIGEST}": {
                "GET": blobs.read,
                "HEAD": blobs.read,
                "DELETE": blobs.delete,
            },
            rf"/v2/{_NAME}/manifests/([^/]+)": {
                "GET": manifests.read,
                "HEAD": manifests.read,
                "PUT": manifests.write,
                "DELETE": manifests.delete,
            },
            rf"/v2/{_NAME}/tags/list()": {"GET": manifests.tags},
            rf"/v2/{_NAME}/referrers/([^/]+)": {"GET": manifests.referrers},
        }
        return [(re.compile(pattern + r"\Z"), methods) for pattern, methods in table.items()]

    def _handle(self, exchange: Exchange) -> None:
        answer = self._answer(exchange)
        headers = {"Docker-Distribution-Api-Version": "registry/2.0", **answer.headers}
        exchange.answer(Answer(answer.status, headers, answer.body))

    def _answer(self, exchange: Exchange) -> Answer:
        if exchange.path == TOKEN_PATH and isinstance(self.authorization, Bearer):
            return self.authorization.token(exchange)
        if exchange.path in ("/v2", "/v2/"):
            return self.authorization.refused(exchange, ()) or Answer(200)
        for pattern, methods in self._routes:
            if match := pattern.match(exchange.path):
                refused = self.authorization.refused(exchange, _wanted(exchange, match[1]))
                if refused:
                    return refused
                if endpoint := methods.get(exchange.method):
                    return endpoint(exchange, match[1], match[2])
                return refusal(405, "UNSUPPORTED", "the operation is unsupported")
        return refusal(404, "NAME_INVALID", "there is nothing here")

    def _elsewhere(self, name: str, digest: str) -> str:
        return f"{self._storage.url}/storage/{name}/{digest}?signature=good-for-once"

    def _handle_storage(self, exchange: Exchange) -> None:
        _, _, rest = exchange.path.partition("/storage/")
        name, _, digest = rest.rpartition("/")
        data = self.store.blob(name, digest)
        if exchange.authorization[0]:
            # Object stores take a signed URL or credentials, and refuse both together.
            exchange.answer(refusal(400, "UNSUPPORTED", "only one way to authorize is allowed"))
        elif data is None or exchange.parameter("signature") != "good-for-once":
            exchange.answer(refusal(403, "DENIED", "the signature is wrong"))
        else:
            exchange.answer(served(exchange, data, digest, ranges=self.behaviour.ranges))


def _wanted(exchange: Exchange, name: str) -> Collection[Scope]:
    """The scopes a request needs, as docker-registry has them in ``registry/handlers/app.go``."""
    actions = {"GET": {"pull"}, "HEAD": {"pull"}, "DELETE": {"delete"}}
    wanted = [Scope(name, frozenset(actions.get(exchange.method, {"pull", "push"})))]
    if source := exchange.parameter("from"):
        wanted.append(Scope(source, frozenset({"pull"})))
    return wanted
