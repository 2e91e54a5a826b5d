"""A real browser on the other side: a stranger's page, a name that is made to point here, and the user's own pages."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from domain_embed_tests.scenario import DOMAIN
from domain_embed_tests.servers.small import TOKEN, Gated
from domain_embed_tests.servers.test_ui import LAUNCH, launch
from domain_embed_tests.ui.dagster_ui import CHROMIUM, FLAGS, DagsterUi

playwright = pytest.importorskip("playwright.sync_api", reason="needs the playwright package")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

STRANGER, REBOUND = "stranger.example", "rebound.example"
"""Both names are made to lead to this machine: the stranger's server is here, and so is what he is after."""
PATIENCE_MS = 60_000


class StrangersPage(BaseHTTPRequestHandler):
    """An empty page; what it does is said by the test."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>stranger</title>")

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def strangers_port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), StrangersPage)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page() -> Iterator["playwright.Page"]:
    resolver = f"--host-resolver-rules=MAP {STRANGER} 127.0.0.1, MAP {REBOUND} 127.0.0.1, MAP *.localhost 127.0.0.1"
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, resolver])
        page = browser.new_page(viewport={"width": 2400, "height": 1800})
        page.set_default_timeout(PATIENCE_MS)
        yield page
        browser.close()


SEND = {
    "plain text": "url => fetch(url, {method: 'POST', mode: 'no-cors', body: 'x'}).catch(() => 0)",
    "a link": "url => fetch(url, {mode: 'no-cors'}).catch(() => 0)",
    "asked first": """url => fetch(url, {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'})
        .catch(() => 0)""",
    "a picture": """url => new Promise(done => {
        const one = new Image(); one.onerror = one.onload = () => done(0); one.src = url})""",
    "a beacon": "url => navigator.sendBeacon(url, 'x')",
}
EMBED = """url => new Promise(done => {
    const one = document.createElement('iframe'); one.onload = () => done(0); one.src = url;
    document.body.append(one)})"""
SUBMIT = """url => {
    const one = document.createElement('form'); one.method = 'POST'; one.enctype = 'text/plain'; one.action = url;
    document.body.append(one); one.submit()}"""
OPEN_SOCKET = """url => new Promise(done => {
    const one = new WebSocket(url, 'graphql-ws');
    one.onopen = () => done('opened'); one.onerror = () => done('refused')})"""
ASK = """async () => {
    const headers = {'Content-Type': 'application/json'}, body = '{"query": "{version}"}';
    const answer = await fetch('/graphql', {method: 'POST', headers, body});
    return [answer.status, await answer.text()]}"""


def answers(page: "playwright.Page", server: str) -> list[tuple[str, int]]:
    """Methods and statuses of what a server answers to a page, from now on."""
    seen: list[tuple[str, int]] = []

    def note(answer: "playwright.Response") -> None:
        if answer.url.startswith(server):
            seen.append((answer.request.method, answer.status))

    page.on("response", note)
    return seen


@pytest.mark.parametrize("host", [STRANGER, "localhost", "127.0.0.1"])
def test_a_strangers_page_launches_nothing(
    ui: DagsterUi, page: "playwright.Page", strangers_port: int, host: str
) -> None:
    """Neither by sending nor by embedding; also not from another port of this machine."""
    before, seen = ui.runs(), answers(page, ui.url)
    page.goto(f"http://{host}:{strangers_port}/")
    target = f"{ui.url}/graphql?query={quote(LAUNCH)}"
    for script in SEND.values():
        page.evaluate(script, target)
    assert page.evaluate(OPEN_SOCKET, target.replace("http://", "ws://")) == "refused"
    page.evaluate(EMBED, ui.url)
    assert "This request is refused" in page.frames[1].locator("body").inner_text()
    with page.expect_navigation():
        page.evaluate(SUBMIT, target)
    assert "This request is refused: it comes from a page of" in page.locator("body").inner_text()
    assert set(seen) == {("GET", 403), ("POST", 403)}
    assert ui.runs() == before


def test_a_name_made_to_point_here_reads_nothing(ui: DagsterUi, page: "playwright.Page") -> None:
    """DNS rebinding: to the browser all is one origin, so only the name tells it from the user's own page."""
    for server in (ui.url, ui.mlflow):
        rebound = server.replace("127.0.0.1", REBOUND)
        answer = page.goto(f"{rebound}/")
        assert answer is not None
        assert answer.status == 403
        assert f"Host '{urlsplit(rebound).netloc}' is not a name of this server" in page.content()
        status, text = page.evaluate(ASK)
        assert status == 403
        assert "data" not in text


def test_a_browser_opens_the_address_with_the_token_once(closed: Gated, page: "playwright.Page") -> None:
    """Scripts see no cookie, other pages do not send it, and neither address nor history hold the token."""
    address = f"http://localhost:{closed.port}"
    refused = page.goto(f"{address}/runs")
    assert refused is not None
    assert refused.status == 403
    page.goto(f"{address}/runs?token={TOKEN}")
    assert page.url == f"{address}/runs"
    assert page.locator("body").inner_text() == "in"
    assert page.evaluate("document.cookie") == ""
    assert page.evaluate("fetch('/x', {method: 'POST', body: 'x'}).then(answer => answer.status)") == 200
    assert page.evaluate(OPEN_SOCKET, f"ws://localhost:{closed.port}/x") == "opened"


def test_the_users_own_pages_work(ui: DagsterUi, page: "playwright.Page", tmp_path: Path) -> None:
    """The lineage with its data, a run whose log comes live over a websocket, and MLflow."""
    pictures = Path(os.environ.get("DOMAIN_EMBED_PICTURES") or tmp_path)
    seen, frames = answers(page, ui.url), list[Any]()
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(frame)))
    page.goto(ui.lineage(DOMAIN), wait_until="domcontentloaded")
    for asset in ("corpus_files", "checkpoint", "champion"):
        page.locator("foreignObject").get_by_text(asset, exact=True).wait_for()
    page.screenshot(path=pictures / "lineage_through_the_gate.png")
    run = launch(ui, config={})["run"]["runId"]
    page.goto(f"{ui.url}/runs/{run}", wait_until="domcontentloaded")
    page.get_by_text("RUN_SUCCESS").first.wait_for()
    page.screenshot(path=pictures / "run_through_the_gate.png")
    assert any("RunLogsSubscriptionSuccess" in str(frame) or "pipelineRunLogs" in str(frame) for frame in frames)
    page.goto(f"{ui.mlflow}/#/experiments", wait_until="domcontentloaded")
    page.get_by_text(f"domain-embed/{DOMAIN}").first.wait_for()
    page.screenshot(path=pictures / "mlflow_through_the_gate.png")
    assert ("POST", 200) in seen
    assert 403 not in {status for _, status in seen}
