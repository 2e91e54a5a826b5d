"""The gate before a small application, spoken to by bytes over a real server: who gets in, and who is told why not."""

import logging

import pytest

from domain_embed.servers.gate import COOKIE
from domain_embed.servers.listening import Access
from domain_embed_tests.servers.raw import Answer, handshake, request, send
from domain_embed_tests.servers.small import TOKEN, Gated


@pytest.fixture(autouse=True)
def nothing_reached(request: pytest.FixtureRequest) -> None:
    for name in {"opened", "closed"} & set(request.fixturenames):
        request.getfixturevalue(name).behind.reached.clear()


def refused(answer: Answer, because: str) -> None:
    assert answer.status == 403
    assert because in answer.body
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    "host",
    [
        "localhost:{port}", "LocalHost:{port}", "127.0.0.1:{port}", "[::1]:{port}", "embed.example.com",
        "EMBED.example.com", "embed.example.com:{port}", "tunnel.example.com:8443", "[fd00::7]", "[FD00::7]:{port}",
    ],
)  # fmt: skip
def test_the_servers_own_names_and_those_the_user_names_get_in(opened: Gated, host: str) -> None:
    name = host.format(port=opened.port)
    assert request(opened.port, "GET", "/", f"Host: {name}").body == "in"
    for scheme in ("http", "https"):
        assert request(opened.port, "POST", "/x", f"Host: {name}", f"Origin: {scheme}://{name}", body="{}").body == "in"
    assert handshake(opened.port, "/x", f"Host: {name}", f"Origin: http://{name}").status == 101


@pytest.mark.parametrize(
    "host",
    [
        "", "evil.com", "evil.com:{port}", "localhost", "localhost:1", "localhost:0{port}", "localhost:{port}1",
        "localhost.:{port}", "localhost:{port}.", "localhost.evil.com:{port}", "127.0.0.1.nip.io:{port}",
        "127.0.0.1:{port}.evil.com", "evil.localhost:{port}", "0.0.0.0:{port}", "127.0.0.2:{port}", "127.1:{port}",
        "2130706433:{port}", "0x7f.1:{port}", "[::]:{port}", "::1:{port}", "[::1", "[0:0:0:0:0:0:0:1]:{port}",
        "[::ffff:127.0.0.1]:{port}", "user@localhost:{port}", "localhost:{port}@evil.com", "localhost:{port}/",
        "localhost:{port},evil.com", "localhost:{port} evil.com", "http://localhost:{port}", "localhost:{port}#",
        "embed.example.com.evil.com", "xembed.example.com", "embed.example.com:444", "tunnel.example.com",
        "*", "embed.example.com.", "%6cocalhost:{port}", "l\xf6calhost:{port}",
    ],
)  # fmt: skip
def test_any_other_host_is_refused(opened: Gated, host: str) -> None:
    name = host.format(port=opened.port)
    for answer in (
        request(opened.port, "GET", "/", f"Host: {name}"),
        request(opened.port, "POST", "/x", f"Host: {name}", opened.own, body="{}"),
    ):
        assert answer.status in (400, 403)  # what is no header at all, the server itself refuses
    assert handshake(opened.port, "/x", f"Host: {name}", opened.own).status in (400, 403)
    assert opened.behind.reached == []


def test_a_host_that_is_refused_is_told_which_and_what_to_do(opened: Gated) -> None:
    refused(request(opened.port, "GET", "/", "Host: gpu1:3000"), "Host 'gpu1:3000' is not a name of this server")
    refused(request(opened.port, "GET", "/", "Host: gpu1:3000"), "--allow-host or DOMAIN_EMBED_HOSTS")


def test_a_request_without_a_host_or_with_two_is_refused(opened: Gated) -> None:
    refused(send(opened.port, "GET / HTTP/1.0\r\n\r\n"), "it has 0 Host headers")
    assert request(opened.port, "GET", "/").status == 400
    assert request(opened.port, "GET", "/", opened.host, "Host: evil.com").status == 400
    assert request(opened.port, "GET", "/", opened.host, opened.host).status == 400
    assert opened.behind.reached == []


def test_a_forwarded_host_changes_nothing(opened: Gated) -> None:
    for name in ("X-Forwarded-Host", "X-Host", "Forwarded", "X-Original-Host"):
        value = "host=localhost" if name == "Forwarded" else f"localhost:{opened.port}"
        refused(request(opened.port, "GET", "/", "Host: evil.com", f"{name}: {value}"), "Host 'evil.com'")
        assert request(opened.port, "GET", "/", opened.host, f"{name}: evil.com").body == "in"


@pytest.mark.parametrize("target", ["http://evil.com/graphql", "http://localhost:{port}/", "evil.com:443", "*"])
def test_a_target_that_is_no_path_is_refused(opened: Gated, target: str) -> None:
    for method in ("GET", "POST", "OPTIONS", "CONNECT"):
        answer = request(opened.port, method, target.format(port=opened.port), opened.host)
        assert answer.status in (400, 403)
    assert opened.behind.reached == []


@pytest.mark.parametrize(
    "origin",
    [
        "null", "http://evil.com", "https://evil.com", "http://localhost", "http://localhost:1", "localhost:{port}",
        "http://localhost:{port}.evil.com", "http://evil.com:{port}", "http://127.0.0.1.nip.io:{port}",
        "http://user@localhost:{port}", "http://localhost:{port}/", "file://", "chrome-extension://abcdef",
        "ftp://localhost:{port}", "http://localhost.:{port}", "http://[::]:{port}", "http://", "",
        "http://localhost:{port}, http://evil.com", "http://http://localhost:{port}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
def test_any_other_origin_is_refused(opened: Gated, origin: str, method: str) -> None:
    sent = f"Origin: {origin.format(port=opened.port)}"
    refused(request(opened.port, method, "/graphql", opened.host, sent), "it comes from a page of")
    refused(handshake(opened.port, "/graphql", opened.host, sent), "it comes from a page of")
    refused(request(opened.port, method, "/graphql", opened.host, opened.own, sent), "it comes from a page of")
    assert opened.behind.reached == []


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Same-Origin", "", "same-origin, cross-site"])
def test_what_a_page_of_another_server_sends_embeds_or_frames_is_refused(opened: Gated, site: str) -> None:
    """Also from another port of this machine, which is the same site to a browser."""
    foreign = f"Sec-Fetch-Site: {site}"
    follows = ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
    because = "it comes from a page of another server"
    for method in ("POST", "PUT", "PATCH", "DELETE", "GET"):
        refused(request(opened.port, method, "/x", opened.host, foreign), because)
        refused(request(opened.port, method, "/x", opened.host, "Sec-Fetch-Site: same-origin", foreign), because)
    for method in ("POST", "PUT", "DELETE"):  # a form that is sent navigates, too
        refused(request(opened.port, method, "/x", opened.host, foreign, *follows), because)
    refused(request(opened.port, "GET", "/x", opened.host, foreign, follows[0], "Sec-Fetch-Dest: iframe"), because)
    refused(request(opened.port, "GET", "/x", opened.host, foreign, follows[0], "Sec-Fetch-Dest: object"), because)
    refused(handshake(opened.port, "/x", opened.host, foreign), because)
    assert opened.behind.reached == []
    assert request(opened.port, "GET", "/x", opened.host, foreign, *follows).body == "in"


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_what_the_servers_own_page_or_its_user_asks_for_gets_in(opened: Gated, site: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert request(opened.port, method, "/x", opened.host, f"Sec-Fetch-Site: {site}").body == "in"


@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/%67raphql", "/prefix/graphql", "//graphql"])
@pytest.mark.parametrize("query", ["query=mutation%7Bx%7D", "a=1&query=%7Bx%7D", "%71uery=mutation%7Bx%7D", "query="])
def test_graphql_by_a_link_is_refused_also_where_a_browser_says_nothing(opened: Gated, path: str, query: str) -> None:
    refused(request(opened.port, "GET", f"{path}?{query}", opened.host), "GraphQL is answered to POST alone")
    follows = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
    refused(request(opened.port, "GET", f"{path}?{query}", opened.host, *follows), "GraphQL is answered to POST alone")
    assert opened.behind.reached == []
    assert request(opened.port, "GET", path, opened.host).body == "in"
    assert request(opened.port, "POST", path, opened.host, body='{"query": "{x}"}').body == "in"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_program_shows_the_token_in_a_header(closed: Gated, scheme: str) -> None:
    shows = f"Authorization: {scheme} {TOKEN}"
    assert request(closed.port, "POST", "/x", closed.host, shows, body="{}").body == "in"
    assert handshake(closed.port, "/x", closed.host, shows).status == 101
    refused(request(closed.port, "GET", "/", "Host: evil.com", shows), "Host 'evil.com'")
    refused(request(closed.port, "GET", "/", closed.host, "Origin: null", shows), "it comes from a page of 'null'")


@pytest.mark.parametrize(
    "shown",
    [
        (), ("Authorization: Bearer",), ("Authorization: Bearer x",), (f"Authorization: Basic {TOKEN}",),
        (f"Authorization: {TOKEN}",), (f"Authorization: Bearer {TOKEN}x",), (f"Authorization: Bearer {TOKEN[:-1]}",),
        (f"Authorization: Bearer {TOKEN.upper()}",), (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer x"),
        (f"Cookie: {COOKIE}={TOKEN}",), (f"Cookie: {COOKIE}=",), (f"X-Token: {TOKEN}",),
        ("Authorization: Bearer \xff",), (f"Cookie: {COOKIE}=\xff",),
    ],
)  # fmt: skip
def test_without_the_token_nothing_gets_in(closed: Gated, shown: tuple[str, ...]) -> None:
    for path in ("/", "/graphql", "/health", "/server_info", "/static/x.js", "/?token=", "/?token=wrong"):
        refused(request(closed.port, "GET", path, closed.host, *shown), "it does not show the token")
    refused(request(closed.port, "POST", f"/x?token={TOKEN}", closed.host, *shown), "it does not show the token")
    refused(handshake(closed.port, f"/x?token={TOKEN}", closed.host, *shown), "it does not show the token")
    assert closed.behind.reached == []


def test_a_browser_shows_the_token_once_and_has_a_cookie_then(closed: Gated) -> None:
    answer = request(closed.port, "GET", f"/runs?a=1&token={TOKEN}&b=%2F", closed.host)
    assert (answer.status, answer.headers["location"]) == (303, "/runs?a=1&b=%2F")
    cookie, *attributes = answer.headers["set-cookie"].split("; ")
    assert {one.lower() for one in attributes} == {"httponly", "samesite=strict", "path=/"}
    assert cookie.startswith(f"{COOKIE}=")
    assert TOKEN not in str(answer)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert request(closed.port, "POST", "/x", closed.host, f"Cookie: a=b; {cookie}", body="{}").body == "in"
    assert handshake(closed.port, "/x", closed.host, f"Cookie: {cookie}").status == 101
    refused(request(closed.port, "POST", "/x", closed.host, f"Cookie: {cookie}", "Origin: null"), "page of 'null'")


@pytest.mark.parametrize("path", ["//evil.com", "/\\evil.com", "///evil.com/x", "/%5cevil.com", "/%2f%2fevil.com"])
def test_being_welcomed_never_leads_to_another_server(closed: Gated, path: str) -> None:
    answer = request(closed.port, "GET", f"{path}?token={TOKEN}", closed.host)
    assert answer.status == 303
    assert answer.headers["location"].startswith("/evil.com")


def test_refusals_are_logged_in_one_line_and_the_token_is_not(closed: Gated, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        request(closed.port, "GET", f"/one?token={TOKEN}x", closed.host)
        request(closed.port, "GET", f"/two%0ARefused?token={TOKEN}", "Host: evil.com")
        request(closed.port, "POST", "/three", closed.host, f"Authorization: Bearer {TOKEN}", "Origin: http://evil.com")
        request(closed.port, "GET", f"/four?token={TOKEN}", closed.host)
    logged = [record.getMessage() for record in caplog.records if record.name == "domain_embed.gate"]
    assert [line.split(":")[0] for line in logged] == [
        "refused GET '/one'", "refused GET '/two\\nRefused'", "refused POST '/three'",
    ]  # fmt: skip
    assert "page of 'http://evil.com'" in logged[2]
    assert TOKEN not in caplog.text
    access = Access.read(variables={"DOMAIN_EMBED_UI_TOKEN": TOKEN})
    assert TOKEN not in repr([access, access.rules("127.0.0.1", 1), access.variables()])
