"""Nothing that asks for no password is reached from other machines, unless the user says what stands before it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from domain_embed.cli import app
from domain_embed.contracts.errors import SettingsError
from domain_embed.servers.listening import Access, address, is_loopback
from domain_embed_tests.servers.raw import request
from domain_embed_tests.servers.small import running

ROOT = Path(__file__).parents[2]
OPEN = ["0.0.0.0", "::", "", "192.0.2.1", "0", "fe80::1", "::ffff:192.0.2.1"]
LOOPBACK = ["127.0.0.1", "localhost", "::1", "127.1.2.3", "127.1"]
SERVERS = [["ui"], ["webserver", "--workspace", "nowhere.yaml"], ["mlflow-server"], ["code-server"]]


@pytest.mark.parametrize("host", OPEN)
def test_beyond_this_machine_only_behind_a_proxy(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(SettingsError, match=r"x would listen on .*, for other machines.*\n.*--behind-proxy or DOMAIN"):
        Access.read(variables={}).require(host, "x")
    Access.read(behind_proxy=True, variables={}).require(host, "x")
    Access.read(variables={"DOMAIN_EMBED_BEHIND_PROXY": "1"}).require(host, "x")


@pytest.mark.parametrize("host", LOOPBACK)
def test_on_this_machine_nothing_has_to_be_said(host: str) -> None:
    assert is_loopback(host)
    Access.read(variables={"DOMAIN_EMBED_BEHIND_PROXY": ""}).require(host, "x")
    Access.read(variables={"DOMAIN_EMBED_BEHIND_PROXY": "0"}).require(host, "x")


def test_behind_a_proxy_nobody_is_taken_for_a_user_of_this_machine() -> None:
    """MLflow's assistant runs programs for these."""
    for behind_proxy in (False, True):
        with running(Access(behind_proxy=behind_proxy)) as server:
            for sent in ("X-A: b", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: ::1, 127.0.0.1"):
                assert request(server.port, "GET", "/", server.host, sent).body == "in"
            assert [client and client[0] for client in server.behind.clients] == (
                [None] * 3 if behind_proxy else ["127.0.0.1"] * 3
            )


@pytest.mark.parametrize("port", ["0", "-1", "65536", "99999"])
@pytest.mark.parametrize("command", SERVERS, ids=lambda command: command[0])
def test_a_port_is_one_that_a_browser_can_ask(command: list[str], port: str) -> None:
    found = CliRunner().invoke(app, [*command, "--port", port, "--host", "0.0.0.0"])  # which starts nothing, either
    assert found.exit_code == SettingsError.exit_code
    assert "--port" in found.output


def test_what_is_no_address_is_named() -> None:
    with pytest.raises(SettingsError, match=r"nothing can listen on 'no such host'"):
        is_loopback("no such host")


@pytest.mark.parametrize("value", ["true", "yes", "2", "01", " 1"])
def test_a_proxy_is_stated_plainly_or_not_at_all(value: str) -> None:
    with pytest.raises(SettingsError, match=r"DOMAIN_EMBED_BEHIND_PROXY is .*\n.*allowed: 1 or 0"):
        Access.read(variables={"DOMAIN_EMBED_BEHIND_PROXY": value})


@pytest.mark.parametrize("command", SERVERS, ids=lambda command: command[0])
def test_every_server_refuses_before_it_starts_anything(command: list[str], tmp_path: Path) -> None:
    variables = {**os.environ, "DOMAIN_EMBED_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    variables.pop("DOMAIN_EMBED_BEHIND_PROXY", None)
    found = subprocess.run(
        [sys.executable, "-m", "domain_embed.cli", *command, "--host", "0.0.0.0"], env=variables, capture_output=True,
        text=True, check=False, cwd=tmp_path, timeout=120,
    )  # fmt: skip
    assert found.returncode == SettingsError.exit_code
    assert re.search(r"would listen on '0.0.0.0', for other machines, and asks nobody for a password", found.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "*", "*.example.com", "https://embed.example.com", "embed.example.com/", "user@embed.example.com",
        "embed.example.com:", "embed.example.com:x", "-x", "::1", "[::1", "é.example.com", "a b", ".example.com",
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_a_host_is_an_error_not_a_hole(name: str) -> None:
    with pytest.raises(SettingsError, match="is no host"):
        Access.read([name], variables={})


def test_names_come_from_the_option_and_the_variable() -> None:
    access = Access.read(["GPU1"], variables={"DOMAIN_EMBED_HOSTS": "a.example.com, b.example.com:8443  [fd00::1]:9"})
    assert access.hosts == ("gpu1", "a.example.com", "b.example.com:8443", "[fd00::1]:9")
    assert Access.read(variables=access.variables()) == access
    assert access.rules("127.0.0.1", 3000).hosts == {
        "localhost:3000", "127.0.0.1:3000", "[::1]:3000", "gpu1", "gpu1:3000", "a.example.com", "a.example.com:3000",
        "b.example.com:8443", "[fd00::1]:9",
    }  # fmt: skip
    assert "localhost" in access.rules("127.0.0.1", 80).hosts
    assert "127.0.0.5:3000" in access.rules("127.0.0.5", 3000).hosts
    assert "0.0.0.0:3000" not in access.rules("0.0.0.0", 3000).hosts


def test_the_usual_ports_may_be_named_though_browsers_leave_them_out() -> None:
    access = Access.read(["a.example.com:443", "b.example.com:80", "[fd00::1]:443", "c.example.com:8443"], variables={})
    hosts = access.rules("127.0.0.1", 3000).hosts
    assert {"a.example.com", "a.example.com:443", "b.example.com", "[fd00::1]"} <= hosts
    assert "c.example.com" not in hosts


def test_a_token_that_no_header_can_carry_is_an_error() -> None:
    for token in (" ", "two words", "line\n", "schlüssel"):
        with pytest.raises(SettingsError, match="DOMAIN_EMBED_UI_TOKEN has a blank") as caught:
            Access.read(variables={"DOMAIN_EMBED_UI_TOKEN": token})
        assert token.strip() == "" or token not in str(caught.value)
    assert Access.read(variables={"DOMAIN_EMBED_UI_TOKEN": ""}).token is None


def test_addresses_are_ones_that_a_browser_can_open() -> None:
    assert [address(host, 5) for host in ("127.0.0.1", "::1", "0.0.0.0", "::")] == [
        "http://127.0.0.1:5", "http://[::1]:5", "http://localhost:5", "http://localhost:5",
    ]  # fmt: skip
