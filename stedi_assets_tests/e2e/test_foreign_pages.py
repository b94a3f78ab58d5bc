"""A page of another site cannot use Dagster's UI: requests over the wire, and a page in a real browser.

Each attack is also made against Dagster's webserver as it is, without the guard: one that does nothing there would
prove nothing here. What an attack changes is a concurrency limit of its own name, which GraphQL can be asked for.
"""

from __future__ import annotations

import http.client
import http.server
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from stedi_assets_tests.kit.servers import answers, environment, free_port, stop
from stedi_assets_tests.kit.slowness import slowness

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(600)]

PATIENCE = 60.0
"""Seconds to wait for a server or a browser, on a machine that does."""

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

QUIET = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-default-apps --mute-audio
""".split()
"""A browser without a window that asks nobody for anything."""

NAMES = "MAP evil.example 127.0.0.1, EXCLUDE 127.0.0.1, MAP * ~NOTFOUND"
"""What the browser takes names for: another site is on this machine, and there is nothing else."""


def mutation(name: str) -> str:
    return f'mutation {{ setConcurrencyLimit(concurrencyKey: "{name}", limit: 1) }}'


@dataclass
class Answer:
    """An answer of the webserver.

    Args:
        status: of the answer.
        body: of the answer.
        headers: of the answer, their names in lower case.
    """

    status: int
    body: str
    headers: dict[str, str]


@dataclass
class Webserver:
    """A running webserver of Dagster, with nothing behind it."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def send(self, method: str, path: str, headers: dict[str, str], body: str | None = None) -> Answer:
        """Send a request with exactly these headers, and ``Host`` if they do not name another."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in {"Host": self.host, **headers}.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body.encode() if body is not None else None)
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, response.read().decode(), named)
        finally:
            connection.close()

    def ask(self, query: str, **headers: str) -> Answer:
        """Send GraphQL as the UI does, with other headers if they are named."""
        ours = {"Content-Type": JSON, "Origin": f"http://{self.host}", **headers}
        return self.send("POST", "/graphql", ours, json.dumps({"query": query}))

    def handshake(self, **headers: str) -> int:
        """The status that a WebSocket's handshake is answered with: 101 if it is accepted."""
        key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Protocol": "graphql-ws", **key}
        lines = [f"{name}: {value}" for name, value in {"Host": self.host, **upgrade, **headers}.items()]
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall("\r\n".join(["GET /graphql HTTP/1.1", *lines, "", ""]).encode())
            return int(connection.recv(4096).split(b" ")[1])

    def changed(self) -> set[str]:
        """The names of the attacks that changed something."""
        said = json.loads(self.ask("{ instance { concurrencyLimits { concurrencyKey } } }").body)
        return {limit["concurrencyKey"] for limit in said["data"]["instance"]["concurrencyLimits"]}


def wait(what: str, look: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE * slowness()
    while not look():
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.1)


def started(module: str, folder: Path) -> Iterator[Webserver]:
    port, home = free_port(), folder / "home"
    home.mkdir()
    with (folder / "webserver.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, "--empty-workspace", "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env={**environment(), "DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "yes"},
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            wait("the webserver to answer", lambda: answers(port))
            yield Webserver(port, process, folder / "webserver.log")
        finally:
            stop(process)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    yield from started("stedi_assets.webserver", tmp_path_factory.mktemp("guarded"))


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    yield from started("dagster_webserver", tmp_path_factory.mktemp("unguarded"))


EVIL = {"Origin": "http://evil.example"}
IMAGE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}

ATTACKS: dict[str, tuple[str, str, dict[str, str], str | None]] = {
    "get-with-an-origin": ("GET", "/graphql?{query}", EVIL, None),
    "get-of-an-image": ("GET", "/graphql?{query}", IMAGE, None),
    "get-of-an-old-browser": ("GET", "/graphql?{query}", {}, None),
    "get-of-another-path": ("GET", "/graphql%0A?{query}", {}, None),
    "post-of-text": ("POST", "/graphql?{query}", {**EVIL, "Content-Type": "text/plain;charset=UTF-8"}, ""),
    "post-of-text-that-says-json": ("POST", "/graphql", {"Content-Type": f"text/plain; {JSON}"}, "{json}"),
    "post-of-a-form": ("POST", "/graphql?{query}", {"Origin": "null", "Content-Type": FORM}, ""),
    "post-of-json": ("POST", "/graphql", {**EVIL, "Content-Type": JSON}, "{json}"),
    "post-to-another-host": ("POST", "/graphql", {"Host": "evil.example", "Content-Type": JSON}, "{json}"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_changes_something_without_the_guard_is_refused_by_it(
    guarded: Webserver, unguarded: Webserver, name: str
) -> None:
    method, path, headers, body = ATTACKS[name]
    path = path.replace("{query}", urlencode({"query": mutation(name)}))
    body = body and body.replace("{json}", json.dumps({"query": mutation(name)}))

    assert unguarded.send(method, path, headers, body).status == 200
    assert name in unguarded.changed()
    assert guarded.send(method, path, headers, body).status in {403, 415, 421}
    assert name not in guarded.changed()


def test_events_are_not_reported_by_a_foreign_page(guarded: Webserver, unguarded: Webserver) -> None:
    """A materialization, of the asset that the path names, with what else is to be known of it in the query."""
    for headers in (EVIL, {"Origin": "null"}, IMAGE):
        assert unguarded.send("POST", "/report_asset_materialization/fake?partition=x", headers, "").status == 200
        for event in ("materialization/fake?partition=x", "check/fake?check_name=a&passed=true", "observation/fake"):
            assert guarded.send("POST", f"/report_asset_{event}", headers, "").status == 403


def test_what_the_ui_sends_is_answered(guarded: Webserver) -> None:
    page = guarded.send("GET", "/", {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"})
    assert page.status == 200
    assert "<script" in page.body
    assert page.headers["x-frame-options"] == "DENY"

    assert guarded.ask(mutation("of-the-ui")).status == 200
    assert "of-the-ui" in guarded.changed()
    ours = {"Origin": f"http://{guarded.host}", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "websocket"}
    assert guarded.handshake(**ours) == 101


def test_a_websocket_of_a_foreign_page_is_refused(guarded: Webserver, unguarded: Webserver) -> None:
    assert unguarded.handshake(**EVIL) == 101
    assert guarded.handshake(**EVIL) == 403
    assert guarded.handshake(Origin="null") == 403
    assert guarded.handshake(Host="evil.example", Origin="http://evil.example") == 403


def test_the_log_says_what_was_refused(guarded: Webserver) -> None:
    guarded.send("GET", "/graphql?query=%7B__typename%7D", EVIL)

    wait("the log", lambda: "Refused GET '/graphql': The header 'Origin' is 'http://evil" in guarded.log.read_text())


# --- a real browser ---------------------------------------------------------------------------------------------------

PAGE = """<!doctype html><title>A page of another site</title>
<iframe name="hidden" hidden></iframe>
<form id="form" method="post" target="hidden"></form>
<script>
const there = "http://SERVER";
const ask = name => "query=" + encodeURIComponent(
  `mutation { setConcurrencyLimit(concurrencyKey: "${name}", limit: 1) }`);
const json = name => JSON.stringify({query: `mutation { setConcurrencyLimit(concurrencyKey: "${name}", limit: 1) }`});
const either = (good, bad) => new Promise(done => { good(() => done("yes")); bad(() => done("no")); });
const attacks = {
  image: () => either(
    ok => { const i = new Image(); i.onload = i.onerror = ok; i.src = `${there}/graphql?${ask("image")}`; }, _ => {}),
  get: () => fetch(`${there}/graphql?${ask("get")}`, {mode: "no-cors"}),
  post: () => fetch(`${there}/graphql?${ask("post")}`, {mode: "no-cors", method: "POST", body: "text"}),
  says: () => fetch(`${there}/graphql`, {
    mode: "no-cors", method: "POST", body: json("says"), headers: {"Content-Type": "text/plain; application/json"}}),
  json: () => fetch(`${there}/graphql`, {
    method: "POST", body: json("json"), headers: {"Content-Type": "application/json"}}),
  beacon: () => { navigator.sendBeacon(`${there}/graphql?${ask("beacon")}`, "text"); },
  form: () => either(ok => {
    document.querySelector("iframe").onload = ok;
    const form = document.getElementById("form"); form.action = `${there}/graphql?${ask("form")}`; form.submit();
  }, _ => {}),
};
(async () => {
  for (const name in attacks) {
    try { await Promise.race([attacks[name](), new Promise(done => setTimeout(done, 5000))]); } catch (e) {}
  }
  const socket = new WebSocket("ws://SERVER/graphql", "graphql-ws");
  const opened = await either(ok => socket.onopen = ok, not => socket.onerror = not);
  await new Promise(done => setTimeout(done, 1000));  // The beacon is sent when the browser likes.
  fetch(`/done?socket=${opened}`);
})();
</script>"""

OF_A_PAGE = {"image", "get", "post", "says", "beacon", "form"}
"""The attacks of the page that change something without the guard. ``json`` asks first, and Dagster does not agree."""


def browser() -> str:
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    pytest.skip(
        f"There is no browser: none of {', '.join(BROWSERS)} is on PATH. Install one, such as Debian's package "
        "'chromium', to see a real one refused; its exact headers are tested all the same."
    )


class Foreign(http.server.BaseHTTPRequestHandler):
    """Another site: one page, and the place where it says that it is done."""

    page = ""
    done = threading.Event()
    said: dict[str, list[str]] = {}  # noqa: RUF012 - one page at a time.

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/done":
            type(self).said = parse_qs(url.query)
            self.done.set()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.page.encode() if url.path == "/" else b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def visited(folder: Path, server: Webserver) -> dict[str, list[str]]:
    """Open the foreign page in a browser, let it attack a webserver, and return what it says of it."""
    Foreign.page, Foreign.said = PAGE.replace("SERVER", server.host), {}
    Foreign.done.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        process = subprocess.Popen(
            [
                browser(), *QUIET, f"--user-data-dir={folder}", "--remote-debugging-port=0",
                f"--host-resolver-rules={NAMES}", f"http://evil.example:{site.server_port}/",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            assert Foreign.done.wait(PATIENCE * slowness()), "the page did not get to its end"
        finally:
            stop(process)
            site.shutdown()
    return Foreign.said


def test_a_foreign_page_in_a_real_browser_changes_nothing(
    guarded: Webserver, unguarded: Webserver, tmp_path: Path
) -> None:
    assert visited(tmp_path / "unguarded", unguarded) == {"socket": ["yes"]}
    assert unguarded.changed() >= OF_A_PAGE

    assert visited(tmp_path / "guarded", guarded) == {"socket": ["no"]}
    assert guarded.changed() & {*OF_A_PAGE, "json"} == set()


@pytest.mark.parametrize("start", ["", "/logs", "/static", "/notebook", "/download_debug", "/vendor"])
@pytest.mark.parametrize("up", ["/..", "/%2e%2e", "/..%2f", "/%2e%2e%2f", "/..%5c", "/....//"])
def test_no_path_leads_out_of_what_is_served(guarded: Webserver, start: str, up: str) -> None:
    secret = guarded.log.with_name("secret.json")
    secret.write_text("canary of a file")
    for path in (
        f"{start}{up * 6}/secret.json",
        f"{start}{up * 6}{secret}",
        f"{start}/{secret}",
        f"{start}?path={secret}",
    ):
        assert "canary" not in guarded.send("GET", path, {}).body, path
