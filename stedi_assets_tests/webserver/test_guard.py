"""The guard: what a foreign web page can have a browser send is refused, and what the UI sends is not.

The headers are those that Chromium sends, as it sends them.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stedi_assets.webserver.guard import Guard, Message, Receive, Scope, Send

PORT = 3000
HOST = "127.0.0.1:3000"
HERE = "http://127.0.0.1:3000"
EVIL = "http://evil.example"
PUBLIC = "https://lake.example.org"
JSON = "application/json"
MUTATION = "query=mutation%7BlaunchRun%7D"


def fetched(site: str, mode: str, destination: str) -> dict[str, str]:
    return {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}


def scope_of(
    request: str, headers: dict[str, str] | list[tuple[str, str]], server: tuple[str, int | None] = ("127.0.0.1", PORT)
) -> Scope:
    """What uvicorn makes of a request: ``"GET /path?query"``, or ``"WS /path"`` for the handshake of a WebSocket."""
    method, _, target = request.partition(" ")
    path, _, query = target.partition("?")
    pairs = list(headers.items()) if isinstance(headers, dict) else headers
    scope: Scope = {
        "type": "websocket" if method == "WS" else "http",
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs],
        "server": server,
    }
    return scope if method == "WS" else {**scope, "method": method}


def answer(scope: Scope, *origins: str) -> list[Message]:
    """What is sent back: by the application, which answers everything, or by the guard."""
    sent: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
            await send({"type": "http.response.body", "body": b"reached"})

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read of a request")

    asyncio.run(Guard(application, origins)(scope, receive, send))
    return sent


def status(scope: Scope, *origins: str) -> int:
    """The status of the answer; 101 and 403 for a WebSocket that is accepted or not, as uvicorn has it."""
    first = answer(scope, *origins)[0]
    of_websockets = {"websocket.accept": 101, "websocket.close": 403}
    return int(of_websockets.get(first["type"]) or first["status"])


OWN = {
    "the first page, by its address": ("GET /", fetched("none", "navigate", "document")),
    "a reload of a page with a query": ("GET /runs?cursor=1", fetched("none", "navigate", "document")),
    "a link of another site": ("GET /assets", fetched("cross-site", "navigate", "document")),
    "a script of the page": ("GET /_next/app.js", fetched("same-origin", "no-cors", "script")),
    "a font of the page": ("GET /_next/a.woff2", {"Origin": HERE, **fetched("same-origin", "cors", "font")}),
    "GraphQL": (
        "POST /graphql?op=RootWorkspaceQuery",
        {"Origin": HERE, "Content-Type": JSON, **fetched("same-origin", "cors", "empty")},
    ),
    "GraphQL, with a character set": ("POST /graphql", {"Origin": HERE, "Content-Type": f"{JSON}; charset=utf-8"}),
    "subscriptions": ("WS /graphql", {"Origin": HERE, **fetched("same-origin", "websocket", "empty")}),
    "Dagster's form for GraphQL": ("GET /graphql", fetched("none", "navigate", "document")),
    "a script that is no browser": ("POST /graphql", {"Content-Type": JSON}),
    "a script that looks whether it is up": ("GET /server_info", {}),
    "a WebSocket of a script": ("WS /graphql", {}),
}


@pytest.mark.parametrize("what", OWN)
def test_what_the_ui_and_scripts_send_passes(what: str) -> None:
    request, headers = OWN[what]

    assert status(scope_of(request, {"Host": HOST, **headers})) in {200, 101}


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "LocalHost"])
def test_every_name_of_this_machine_is_served(name: str) -> None:
    headers = {"Host": f"{name}:{PORT}", "Origin": f"http://{name.lower()}:{PORT}", "Content-Type": JSON}

    assert status(scope_of("POST /graphql", headers)) == 200


FORM = "application/x-www-form-urlencoded"

FOREIGN = {
    "a mutation by GET of a script with an origin": (f"GET /graphql?{MUTATION}", {"Origin": EVIL}),
    "a mutation by an image": (f"GET /graphql?{MUTATION}", fetched("cross-site", "no-cors", "image")),
    "a mutation by an image, of an old browser": (f"GET /graphql?{MUTATION}", {}),
    "a mutation by a link": (f"GET /graphql?{MUTATION}", fetched("cross-site", "navigate", "document")),
    "a mutation by an address that was typed": (f"GET /graphql?{MUTATION}", fetched("none", "navigate", "document")),
    "a query by GET": ("GET /graphql?query=%7B__typename%7D", fetched("same-origin", "cors", "empty")),
    "a mutation by HEAD": (f"HEAD /graphql?{MUTATION}", {}),
    "a mutation at a path that Dagster takes as well": (f"GET /graphql\n?{MUTATION}", {}),
    "a mutation below a path prefix": (f"GET /lake/graphql?{MUTATION}", {}),
    "a frame": ("GET /", fetched("cross-site", "navigate", "iframe")),
    "data of a page on another port": ("GET /server_info", fetched("same-site", "no-cors", "empty")),
    "fetch without a question": (
        "POST /graphql",
        {"Origin": EVIL, "Content-Type": "text/plain;charset=UTF-8", **fetched("cross-site", "no-cors", "empty")},
    ),
    "fetch with a question": (
        "OPTIONS /graphql",
        {"Origin": EVIL, "Access-Control-Request-Method": "POST", **fetched("cross-site", "cors", "empty")},
    ),
    "a form": (
        f"POST /graphql?{MUTATION}",
        {"Origin": EVIL, "Content-Type": FORM, **fetched("cross-site", "navigate", "document")},
    ),
    "a form of a page on another port": (
        "POST /graphql",
        {"Origin": "http://127.0.0.1:8000", "Content-Type": FORM, **fetched("same-site", "navigate", "document")},
    ),
    "a form of a page in a sandbox": ("POST /graphql", {"Origin": "null", "Content-Type": FORM}),
    "JSON of a page in a sandbox": ("POST /graphql", {"Origin": "null", "Content-Type": JSON}),
    "JSON with a foreign origin": ("POST /graphql", {"Origin": EVIL, "Content-Type": JSON}),
    "JSON with an empty origin": ("POST /graphql", {"Origin": "", "Content-Type": JSON}),
    "JSON with another name": ("POST /graphql", {"Origin": "http://localhost:3000", "Content-Type": JSON}),
    "JSON with another scheme": ("POST /graphql", {"Origin": "https://127.0.0.1:3000", "Content-Type": JSON}),
    "JSON with a longer origin": ("POST /graphql", {"Origin": f"{HERE}.evil.example", "Content-Type": JSON}),
    "JSON of a foreign site by the header alone": (
        "POST /graphql",
        {"Content-Type": JSON, **fetched("cross-site", "no-cors", "empty")},
    ),
    "a form without an origin": (f"POST /graphql?{MUTATION}", {"Content-Type": FORM}),
    "a body without a type": (f"POST /graphql?{MUTATION}", {}),
    "a form of files": ("POST /graphql", {"Content-Type": "multipart/form-data; boundary=x"}),
    "text that also says JSON": ("POST /graphql", {"Content-Type": f"text/plain; {JSON}"}),
    "GraphQL as such": ("POST /graphql", {"Content-Type": "application/graphql"}),
    "a WebSocket of another site": (
        "WS /graphql", {"Origin": EVIL, **fetched("cross-site", "websocket", "empty")},
    ),
    "a WebSocket of a page in a sandbox": ("WS /graphql", {"Origin": "null"}),
    "a WebSocket with a foreign site by the header alone": ("WS /graphql", fetched("cross-site", "websocket", "empty")),
    "a materialization that nobody made": (
        "POST /report_asset_materialization/customer_trusted",
        {"Origin": EVIL, **fetched("cross-site", "no-cors", "empty")},
    ),
    "a check that nobody ran": (
        "POST /report_asset_check/customer_trusted?check_name=consent&passed=true",
        {"Origin": EVIL, "Content-Type": FORM, **fetched("cross-site", "navigate", "document")},
    ),
    "an observation that nobody made": ("POST /report_asset_observation/customer_trusted", {"Origin": "null"}),
}  # fmt: skip


@pytest.mark.parametrize("what", FOREIGN)
def test_what_a_foreign_page_can_have_sent_is_refused(what: str) -> None:
    request, headers = FOREIGN[what]

    assert status(scope_of(request, {"Host": HOST, **headers})) in {403, 415}


POINTED_HERE = ["evil.example:3000", "evil.example", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:3000.evil.example", ""]


@pytest.mark.parametrize("host", POINTED_HERE)
@pytest.mark.parametrize("request_", ["GET /", "POST /graphql", "WS /graphql"])
def test_a_name_that_was_pointed_here_is_refused(request_: str, host: str) -> None:
    """DNS rebinding: to the browser, the page and the UI are of one origin then."""
    headers = {
        "Host": host,
        "Origin": f"http://{host}",
        "Content-Type": JSON,
        **fetched("same-origin", "cors", "empty"),
    }

    assert status(scope_of(request_, headers)) in {421, 403}


def test_a_request_without_a_host_is_refused() -> None:
    assert status(scope_of("GET /", {})) == 421


@pytest.mark.parametrize("name", ["Host", "Origin", "Content-Type", "Sec-Fetch-Site"])
def test_a_header_that_decides_comes_once(name: str) -> None:
    headers = {"Host": HOST, "Origin": HERE, "Content-Type": JSON, **fetched("same-origin", "cors", "empty")}

    assert status(scope_of("POST /graphql", [*headers.items(), (name, headers[name])])) == 400


def test_an_origin_that_is_named_is_served_besides() -> None:
    """As nginx passes it on: the proxy has the certificate, and the connection to here has none."""
    headers = {"Host": "lake.example.org", "Origin": PUBLIC, "Content-Type": JSON}

    assert status(scope_of("POST /graphql", headers), PUBLIC) == 200
    assert status(scope_of("WS /graphql", headers), PUBLIC) == 101
    assert status(scope_of("POST /graphql", {**headers, "Origin": "http://lake.example.org"}), PUBLIC) == 403
    assert status(scope_of("POST /graphql", {**headers, "Origin": HERE}), PUBLIC) == 403
    assert status(scope_of("POST /graphql", {**headers, "Origin": EVIL}), PUBLIC) == 403
    assert status(scope_of("POST /graphql", {**headers, "Host": "evil.example"}), PUBLIC) == 421
    assert status(scope_of("POST /graphql", headers)) == 421
    assert status(scope_of("POST /graphql", {"Host": HOST, "Origin": HERE, "Content-Type": JSON}), PUBLIC) == 200


def test_on_port_80_browsers_leave_the_port_out() -> None:
    headers = {"Host": "localhost", "Origin": "http://localhost", "Content-Type": JSON}

    assert status(scope_of("POST /graphql", headers, server=("127.0.0.1", 80))) == 200


def test_behind_a_socket_file_only_the_named_origin_is_served() -> None:
    headers = {"Content-Type": JSON}

    assert status(scope_of("POST /graphql", {"Host": "lake.example.org", **headers}, ("/run/ui", None)), PUBLIC) == 200
    assert status(scope_of("POST /graphql", {"Host": "localhost", **headers}, ("/run/ui", None)), PUBLIC) == 421


def test_a_refusal_says_what_was_expected_what_came_and_what_to_do() -> None:
    def said(scope: Scope) -> str:
        body: bytes = answer(scope)[1]["body"]
        return body.decode()

    wrong_host = said(scope_of("GET /", {"Host": "lake.example.org"}))
    assert "'lake.example.org'" in wrong_host
    assert HERE in wrong_host
    assert "STEDI_UI_ORIGIN" in wrong_host
    wrong_origin = said(scope_of("GET /", {"Host": HOST, "Origin": EVIL}))
    assert f"'{EVIL}'" in wrong_origin
    assert HERE in wrong_origin
    assert "by POST, as application/json" in said(scope_of(f"GET /graphql?{MUTATION}", {"Host": HOST}))
    assert "as application/json" in said(scope_of("POST /graphql", {"Host": HOST, "Content-Type": FORM}))


@pytest.mark.parametrize("host", [HOST, "evil.example"])
def test_no_answer_may_be_shown_in_a_frame(host: str) -> None:
    headers = answer(scope_of("GET /", {"Host": host}))[0]["headers"]

    assert (b"x-frame-options", b"DENY") in headers
    assert (b"content-security-policy", b"frame-ancestors 'none'") in headers
    assert len([name for name, _ in headers if name == b"content-type"]) == 1


def test_starting_and_ending_go_through() -> None:
    seen: list[Any] = []

    async def application(scope: Scope, *_: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(Guard(application)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]

    assert seen == ["lifespan"]
