"""What stands before Dagster and MLflow: which requests come from their own pages and from programs of their user.

Neither asks who it is that asks. A page of any site can make its visitor's browser send requests to this machine, and
with a name of its own that it lets point here (DNS rebinding) even read the answers. Browsers say truly for which name
they ask (Host), which page asks (Origin) and how near it is (Sec-Fetch-Site): that is checked, for every request and
every websocket, before Dagster or MLflow see it.
"""

import hashlib
import hmac
import logging
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlencode

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger("domain_embed.gate")

COOKIE = "domain_embed_token"
HERE = frozenset({"same-origin", "none"})
"""What a browser says of a request by the server's own page, or by its user: a bookmark, an address typed in."""
SHOWN_SIGNS = 120
NO_STORE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True)
class Rules:
    """Who may speak to a server.

    Attributes:
        hosts: The names it is asked for by, in small letters, each with its port where one is written.
        token: What programs and browsers must show besides; None asks for none.
    """

    hosts: frozenset[str]
    token: str | None = field(default=None, repr=False)

    def refusal(self, connection: HTTPConnection) -> str | None:
        """Why a request is refused; None lets it in, if it has the token."""
        return (
            self._wrong_target(connection)
            or self._wrong_host(connection)
            or self._wrong_origin(connection)
            or self._foreign_page(connection)
            or self._query_by_link(connection)
        )

    def has_token(self, connection: HTTPConnection) -> bool:
        """Whether the token comes along, as a program sends it or in the cookie of a browser that was welcomed."""
        if self.token is None:
            return True
        sent = connection.headers.getlist("authorization")
        if len(sent) == 1 and sent[0][:7].lower() == "bearer ":
            return _same(sent[0][7:].strip(), self.token)
        return _same(connection.cookies.get(COOKIE, ""), self.cookie)

    def is_welcome(self, connection: HTTPConnection) -> bool:
        """Whether a browser opens an address with the token in it."""
        asks = connection.scope["type"] == "http" and connection.scope["method"] == "GET"
        tokens = connection.query_params.getlist("token")
        return self.token is not None and asks and len(tokens) == 1 and _same(tokens[0], self.token)

    @property
    def cookie(self) -> str:
        """What the cookie holds: browsers send it to all servers of a machine, so it is not the token itself."""
        return hmac.new((self.token or "").encode(), b"cookie of the gate", hashlib.sha256).hexdigest()

    def _wrong_target(self, connection: HTTPConnection) -> str | None:
        """`GET http://other/ HTTP/1.1` names a host that outranks Host; no browser sends it to a server."""
        if connection.scope["path"].startswith("/"):
            return None
        return f"the request is for {_shown(connection.scope['path'])}, not for a path of this server"

    def _wrong_host(self, connection: HTTPConnection) -> str | None:
        sent = connection.headers.getlist("host")
        if len(sent) != 1:
            return f"it has {len(sent)} Host headers, not one"
        if sent[0].lower() in self.hosts:
            return None
        return (
            f"Host {_shown(sent[0])} is not a name of this server; if it is one of yours, say so with --allow-host "
            "or DOMAIN_EMBED_HOSTS"
        )

    def _wrong_origin(self, connection: HTTPConnection) -> str | None:
        for origin in connection.headers.getlist("origin"):
            scheme, _, host = origin.lower().partition("://")
            if scheme not in ("http", "https") or host not in self.hosts:
                return f"it comes from a page of {_shown(origin)}, not from one of this server"
        return None

    def _foreign_page(self, connection: HTTPConnection) -> str | None:
        """From another site a browser may follow a link here, and no more: nothing sent, embedded or framed."""
        sent = connection.headers.getlist("sec-fetch-site")
        if set(sent) <= HERE:
            return None
        follows_a_link = (
            connection.scope.get("method") in ("GET", "HEAD")
            and connection.headers.get("sec-fetch-mode") == "navigate"
            and connection.headers.get("sec-fetch-dest") == "document"
        )
        if follows_a_link:
            return None
        return f"it comes from a page of another server (Sec-Fetch-Site: {_shown(', '.join(sent))})"

    def _query_by_link(self, connection: HTTPConnection) -> str | None:
        """Dagster and MLflow answer GraphQL, also what changes something, to a GET: any link or picture is one."""
        is_graphql = connection.scope["path"].rstrip("/").rpartition("/")[2] == "graphql"
        reads = connection.scope.get("method") in ("GET", "HEAD")
        if is_graphql and reads and "query" in connection.query_params:
            return "GraphQL is answered to POST alone"
        return None


class Gate:
    """An ASGI application that hands on what the rules let in and answers everything else with 403 and the reason."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or one websocket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        reason = self._rules.refusal(connection)
        if reason is None and self._rules.is_welcome(connection):
            await self._welcome(connection)(scope, receive, send)
        elif reason is None and self._rules.has_token(connection):
            await self._app(scope, receive, send)
        else:
            await _refuse(reason or _ASK_FOR_TOKEN, scope, receive, send)

    def _welcome(self, connection: HTTPConnection) -> Response:
        """The same address without the token, which then stands in no history; the cookie takes its place."""
        rest = urlencode([item for item in parse_qsl(connection.url.query, True) if item[0] != "token"])
        path = "/" + quote(connection.scope["path"].lstrip("/\\"))  # two slashes would lead to another server
        answer = RedirectResponse(path + (f"?{rest}" if rest else ""), status_code=303, headers=NO_STORE)
        answer.set_cookie(COOKIE, self._rules.cookie, httponly=True, samesite="strict", path="/")
        return answer


class Elsewhere:
    """An ASGI application that takes nobody for a user of this machine, to whom MLflow's assistant gives a shell.

    Behind a proxy the address that a request comes from is the proxy's, or what a header says that anybody can send.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or one websocket."""
        await self._app({**scope, "client": None}, receive, send)


_ASK_FOR_TOKEN = (
    "it does not show the token of DOMAIN_EMBED_UI_TOKEN: open the address once with ?token=… behind it, "
    "or send it as `Authorization: Bearer …`"
)


async def _refuse(reason: str, scope: Scope, receive: Receive, send: Send) -> None:
    """403 with the reason; of the address only the path is logged, as the rest may hold the token."""
    logger.warning("refused %s %s: %s", scope.get("method", "websocket"), _shown(scope["path"]), reason)
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": reason[:SHOWN_SIGNS]})
        return
    answer = PlainTextResponse(f"This request is refused: {reason}.\n", status_code=403, headers=NO_STORE)
    await answer(scope, receive, send)


def _same(given: str, expected: str) -> bool:
    """Compares in a time that tells nothing of how much is right."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def _shown(text: str) -> str:
    """What a stranger sent, safe to print."""
    return ascii(text[:SHOWN_SIGNS])
