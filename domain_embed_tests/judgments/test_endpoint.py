"""The endpoint: what passes is waited out, what does not is an error that says which variable to correct."""

import socket
from collections.abc import Callable, Iterator

import pytest

from domain_embed.contracts.errors import SettingsError
from domain_embed.contracts.secrets import SecretUrl
from domain_embed.judgments import endpoint as endpoint_module
from domain_embed.judgments.endpoint import MAX_REFUSALS, Address, Endpoint, RateLimit
from domain_embed_tests.judgments.chat_server import MODEL, Reply, chat_server, fails, says, sends

UNLIMITED = 1_000_000
ANSWER = '["how do I make tea", "tea without a kettle"]'


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def endpoint_at(variables: dict[str, str]) -> Endpoint:
    return Endpoint(Address.read("", variables), RateLimit(UNLIMITED))


def in_order(*replies: Reply) -> Callable[[int, str], Reply]:
    """One reply after the other, the last one from then on."""
    return lambda number, _: replies[min(number, len(replies)) - 1]


# --- answers --------------------------------------------------------------------------------------------


def test_a_model_is_asked_with_its_name_and_the_prompt() -> None:
    with chat_server(in_order(says(ANSWER))) as server:
        assert endpoint_at(server.variables).ask("write queries") == ANSWER
        assert Endpoint(Address.read("other", {**server.variables, "OPENAI_API_KEY": "k"}), RateLimit(UNLIMITED)).ask(
            "x"
        )
    assert server.requests[0] == {"model": MODEL, "messages": [{"role": "user", "content": "write queries"}]}
    assert server.requests[1]["model"] == "other"
    assert server.keys == ["Bearer none", "Bearer k"]


@pytest.mark.parametrize(
    "passing",
    [fails(429, Retry_After="0.01"), fails(500, Retry_After="0.01"), fails(503, Retry_After="0.01"), fails(500)],
    ids=["429", "500", "503", "500 without a time"],
)
def test_what_passes_is_waited_out(passing: Reply) -> None:
    with chat_server(in_order(passing, says(ANSWER))) as server:
        assert endpoint_at(server.variables).ask("x") == ANSWER
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b""),
        Reply(body=b"{"),
        Reply(body=b"\xff\xfe"),
        Reply(body=b"[" * 100_000),
        Reply(body=b"<html>busy</html>", headers={"Content-Type": "text/html"}),
        sends(None),
        sends({}),
        sends({"choices": []}),
        sends({"choices": [{}]}),
        sends({"choices": [{"message": None}]}),
        sends({"choices": [{"message": {"content": None, "refusal": "I will not"}}]}),
        sends({"choices": [{"message": {"content": 3}}]}),
        sends({"choices": "none"}),
    ],
)
def test_a_response_without_answer_is_an_empty_answer(reply: Reply) -> None:
    with chat_server(in_order(reply)) as server:
        assert endpoint_at(server.variables).ask("x") == ""
    assert len(server.requests) == 1


# --- errors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "problem", "hint"),
    [
        (401, "refuses the key: ", "correct OPENAI_API_KEY"),
        (403, "refuses the key: ", "correct OPENAI_API_KEY"),
        (404, f"does not know the model '{MODEL}'", "correct synthetic.model or OPENAI_MODEL, or OPENAI_BASE_URL"),
        (405, "answers 405: ", "try again later"),
    ],
)
def test_an_address_that_cannot_be_used_names_its_variable(status: int, problem: str, hint: str) -> None:
    with chat_server(in_order(fails(status, "thus spoke the server"))) as server:
        with pytest.raises(SettingsError) as caught:
            endpoint_at({**server.variables, "OPENAI_API_KEY": "very-secret"}).ask("x")
        message = str(caught.value)
        assert message.startswith(f"the endpoint {server.url} {problem}")
        assert "thus spoke the server" in message
        assert hint in message
        assert "very-secret" not in message
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "said"),
    [(429, "takes no more requests: .*\n.*lower synthetic.requests_per_minute"), (502, "answers 502: .*\n.*try again")],
)
def test_a_server_that_goes_on_failing_is_given_up(monkeypatch: pytest.MonkeyPatch, status: int, said: str) -> None:
    monkeypatch.setattr(endpoint_module, "RETRIES", 2)
    with chat_server(in_order(fails(status, Retry_After="0.01"))) as server:
        with pytest.raises(SettingsError, match=said):
            endpoint_at(server.variables).ask("x")
        assert len(server.requests) == 3


def test_a_server_that_is_not_there_names_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "RETRIES", 0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(SettingsError, match=f"the endpoint {url} cannot be reached: .*\n.*correct OPENAI_BASE_URL"):
            endpoint_at({"OPENAI_BASE_URL": url, "OPENAI_MODEL": MODEL}).ask("x")


@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_request_is_no_answer_but_many_in_a_row_are_an_error(status: int) -> None:
    few = [fails(status)] * (MAX_REFUSALS - 1)
    with chat_server(in_order(*few, says(ANSWER), *few, fails(status, "no such parameter"))) as server:
        endpoint = endpoint_at(server.variables)
        answers = [endpoint.ask("x") for _ in range(2 * MAX_REFUSALS - 1)]
        assert answers == [None] * (MAX_REFUSALS - 1) + [ANSWER] + [None] * (MAX_REFUSALS - 1)
        with pytest.raises(SettingsError, match=rf"refused {MAX_REFUSALS} requests in a row: .*no such parameter"):
            endpoint.ask("x")


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({}, "no model is named\n  → set synthetic.model or OPENAI_MODEL"),
        ({"OPENAI_MODEL": " "}, "no model is named"),
        ({"OPENAI_MODEL": "m"}, "there is no key for https://api.openai.com/v1\n  → set OPENAI_API_KEY"),
        (
            {"OPENAI_MODEL": "m", "OPENAI_BASE_URL": "localhost:8000"},
            "OPENAI_BASE_URL is not a web address: 'localhost",
        ),
        ({"OPENAI_MODEL": "m", "OPENAI_BASE_URL": "http://"}, "OPENAI_BASE_URL is not a web address"),
        ({"OPENAI_MODEL": "m", "OPENAI_BASE_URL": "http://["}, "OPENAI_BASE_URL is not a web address"),
        ({"OPENAI_MODEL": "m", "OPENAI_BASE_URL": "http://a:b/v1"}, "OPENAI_BASE_URL is not a web address"),
    ],
)
def test_variables_that_cannot_be_used_are_named(variables: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Address.read("", variables)
    assert problem in str(caught.value)


def test_the_settings_model_goes_before_the_variable_and_the_key_is_not_shown() -> None:
    address = Address.read("mine", {"OPENAI_MODEL": "other", "OPENAI_API_KEY": " secret\n"})
    assert (address.model, address.key.reveal()) == ("mine", "secret")
    assert address.url == SecretUrl("https://api.openai.com/v1")
    assert "secret" not in repr(address)


# --- rate -----------------------------------------------------------------------------------------------


def test_requests_are_evenly_spaced_and_time_that_passes_by_itself_counts() -> None:
    slept: list[float] = []
    times: Iterator[float] = iter([100.0, 100.5, 104.0, 104.0, 104.0])
    limit = RateLimit(30, clock=lambda: next(times), sleep=slept.append)
    for _ in range(5):
        limit.wait()
    # Free at 100, 102, 104, 106 and 108; the third request comes just when it may be sent.
    assert slept == [1.5, 2.0, 4.0]
