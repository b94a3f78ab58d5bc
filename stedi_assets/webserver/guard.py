"""The guard before Dagster's webserver: it refuses what a foreign web page could have a browser send.

Pure ASGI and no Dagster. A page may send requests to any address, 127.0.0.1 included: by an image, a form, ``fetch`` or
a WebSocket, and by a name of its own that it lets point to 127.0.0.1 (DNS rebinding). What it cannot do is to choose
the headers ``Host``, ``Origin`` and ``Sec-Fetch-…``, or to send ``application/json`` without being asked for an
``Origin``. So these decide. The rules, in :meth:`Guard._refusal`:

1. ``Host`` names an origin at which the UI is served.
2. ``Origin``, where there is one, is that origin. Browsers send it with every POST and every WebSocket.
3. What another site asks for is a page in a window of its own, never an image, a frame or data.
4. GraphQL is not asked by GET: Dagster carries out mutations by GET, and its UI does not use it.
5. A body is JSON: forms can send nothing else without a browser asking first, and Dagster takes GraphQL from the URL
   of a POST with any other body.

Programs (``curl``, scripts) send no ``Origin``, and do whatever they like as JSON by POST: the guard is no
authentication.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""The names of this machine for itself."""

GRAPHQL = "/graphql"
"""What stands in the path of Dagster's GraphQL, below any path prefix. Its routes match a newline after it, too."""

NOT_IN_A_FRAME = ((b"x-frame-options", b"DENY"), (b"content-security-policy", b"frame-ancestors 'none'"))
"""Headers of every answer: no page shows the UI in a frame, where clicks could be stolen."""

_DEFAULT_PORT = 80
"""Browsers leave this one out of ``Host`` and ``Origin``."""

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_DECIDING = ("host", "origin", "content-type", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest")
_LOGGER = logging.getLogger("dagster-webserver.guard")


class Guard:
    """ASGI middleware that refuses requests of foreign web pages.

    Args:
        app: what is served.
        origins: where the UI is served, besides this machine's own names with the port that is listened on; each as
            browsers send it.
    """

    def __init__(self, app: App, origins: Collection[str] = ()) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it; see the rules above."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, _not_in_a_frame(send))
            return
        status, why = refusal
        _LOGGER.warning("Refused %s %.200r: %s", scope.get("method", "a WebSocket at"), scope["path"], why)
        if scope["type"] == "websocket":
            # Before it is accepted, closing it is answered by 403.
            await send({"type": "websocket.close", "code": 1008, "reason": "Refused"})
            return
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff")]
        await send({"type": "http.response.start", "status": status, "headers": [*headers, *NOT_IN_A_FRAME]})
        await send({"type": "http.response.body", "body": f"{why}\n".encode()})

    def _refusal(self, scope: Scope) -> tuple[HTTPStatus, str] | None:
        """The status and the words that a request is refused with; none where it may pass."""
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name = raw_name.decode("latin-1").lower()
            if name in headers and name in _DECIDING:
                return HTTPStatus.BAD_REQUEST, f"The header {name!r} came twice; send it once."
            headers[name] = raw_value.decode("latin-1").strip().lower()

        served = self._served(scope)
        host = headers.get("host", "")
        mine = [one for one in served if urlsplit(one).netloc == host]
        if not mine:
            return HTTPStatus.MISDIRECTED_REQUEST, (
                f"The header 'Host' is {host!r}. Dagster's UI is served at {', '.join(served)}. Open one of these, or "
                "name the public origin of a proxy in STEDI_UI_ORIGIN."
            )
        if headers.get("origin", mine[0]) not in mine:
            return HTTPStatus.FORBIDDEN, (
                f"The header 'Origin' is {headers['origin']!r}: a page of another site asks for this. Only pages of "
                f"{' or '.join(mine)} may."
            )

        method = scope.get("method", "GET")
        fetch = (method, headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
        site = headers.get("sec-fetch-site")
        if site in {"cross-site", "same-site"} and fetch != ("GET", "navigate", "document"):
            return HTTPStatus.FORBIDDEN, (
                f"The header 'Sec-Fetch-Site' is {site!r}: a page of another site asks for this. It may link to "
                "Dagster's UI and use nothing of it."
            )
        if scope["type"] == "websocket":
            return None
        if method in _SAFE_METHODS:
            if GRAPHQL in scope["path"] and scope["query_string"]:
                return HTTPStatus.FORBIDDEN, (
                    f"GraphQL is not taken by {method}, since any web page can send one. Send it by POST, as "
                    "application/json."
                )
            return None
        content_type = headers.get("content-type", "")
        if content_type.partition(";")[0].strip() != "application/json":
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, (
                f"The header 'Content-Type' is {content_type!r}. Send JSON, as application/json."
            )
        return None

    def _served(self, scope: Scope) -> list[str]:
        """The origins at which the UI is served: this machine's with the port that is listened on, and named ones."""
        _, port = scope.get("server") or (None, None)
        suffix = "" if port == _DEFAULT_PORT else f":{port}"
        local = [f"http://{name}{suffix}" for name in LOOPBACK] if port else []
        return [*local, *sorted(self._origins)]


def _not_in_a_frame(send: Send) -> Send:
    """Add the headers of :data:`NOT_IN_A_FRAME` to an answer."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *NOT_IN_A_FRAME]
        await send(message)

    return sending
