"""Secrets: what shows itself as ***, and what redaction takes out of a text and what it leaves."""

import base64
import copy
import html
import json
import logging
import pickle
import re
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain_embed.contracts import secrets
from domain_embed.contracts.errors import DomainEmbedError
from domain_embed.contracts.secrets import (
    RedactedError,
    Secret,
    SecretUrl,
    redact,
    redacted_error,
    remember,
    remember_variables,
    without_secrets,
)
from domain_embed.settings import Environment

KEY = "Kp9-vX2/qL+7zR=w"
URL = "https://ann:Pa%2Fss&word!9@qdrant.example:6333/x?sig=Zq7Yp3Lm&se=2030"

# --- one type ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "show",
    [
        str, repr, "{}".format, "{:>12}".format, lambda secret: f"{secret!r} {[secret]} {({'a': secret})}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
        lambda secret: json.dumps(secret, default=str),
        lambda secret: pickle.dumps(secret).decode("latin1"), lambda secret: repr(copy.deepcopy(secret)),
        lambda secret: repr(vars(secret) if hasattr(secret, "__dict__") else None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("secret", [Secret(KEY), SecretUrl(URL)])
def test_a_secret_shows_itself_nowhere(show: Callable[[object], str], secret: Secret) -> None:
    assert not holds(show(secret), [KEY, "Pa%2Fss&word!9", "Pa/ss&word!9", "Zq7Yp3Lm"])


def test_a_secret_is_given_out_by_name_alone_and_not_by_a_pickle() -> None:
    secret = Secret(KEY)
    assert (str(secret), secret.reveal()) == ("***", KEY)
    assert secret == Secret(KEY) != Secret("other")
    assert not Secret("")
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(ValueError, match="does not travel in a pickle"):
        pickle.loads(pickle.dumps(secret)).reveal()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://qdrant:6333", "http://qdrant:6333"),
        ("http://ann:pw@qdrant:6333/a", "http://qdrant:6333/a"),
        ("http://only-a-token@host", "http://host"),
        ("http://ann:p@ss/w#o?rd@host:1", "http://host:1"),
        ("http://ann@example.com:pass@host", "http://host"),
        ("ann:pass@host:6333", "host:6333"),
        ("postgresql+psycopg2://ann:pw@db:5432/mlflow", "postgresql+psycopg2://db:5432/mlflow"),
        ("az://box/folder?sv=1&sig=abc%3D&se=2", "az://box/folder?sv=1&sig=***&se=2"),
        ("s3://b/f?X-Amz-Credential=A&X-Amz-Signature=B", "s3://b/f?X-Amz-Credential=***&X-Amz-Signature=***"),
        ("http://h/?api-key=a&access_token=b&password=c&key=d&x=e",
         "http://h/?api-key=***&access_token=***&password=***&key=***&x=e"),
        ("abfss://container@account.dfs.core.windows.net/f", "abfss://container@account.dfs.core.windows.net/f"),
        ("file:///data/a@b", "file:///data/a@b"),
        ("http://[::1]:6333/a@b", "http://[::1]:6333/a@b"),
    ],
)  # fmt: skip
def test_a_url_is_shown_without_its_credentials(url: str, shown: str) -> None:
    assert str(SecretUrl(url)) == shown
    assert SecretUrl(url).reveal() == url


def test_what_lies_below_a_url_keeps_its_parameters_at_the_end() -> None:
    assert SecretUrl("az://a/b/?sig=x/y").child("docs").reveal() == "az://a/b/docs?sig=x/y"
    assert SecretUrl("s3://a/b").child("docs").reveal() == "s3://a/b/docs"


def test_the_environment_can_be_printed_dumped_and_kept() -> None:
    found = Environment.read(
        {
            "DOMAIN_EMBED_HOME": "/data", "QDRANT_URL": URL, "QDRANT_API_KEY": KEY, "DOMAIN_EMBED_MLFLOW_UI": URL,
            "MLFLOW_TRACKING_URI": URL, "DOMAIN_EMBED_STORAGE": URL,
        }
    )  # fmt: skip
    for shown in (repr(found), str(found.model_dump()), found.model_dump_json(), pickle.dumps(found).decode("latin1")):
        assert not holds(shown, [KEY, "Pa%2Fss&word!9", "Zq7Yp3Lm"])
    assert json.loads(found.model_dump_json())["qdrant_api_key"] == "***"
    assert Environment.model_validate(found.model_dump()) == found
    assert found.qdrant_api_key is not None
    assert found.qdrant_api_key.reveal() == KEY
    with pytest.raises(ValueError, match="qdrant_url") as caught:
        Environment.model_validate({"home": Path(), "qdrant_url": [KEY]})
    assert not holds(str(caught.value), [KEY])


# --- what was given ---------------------------------------------------------------------------------------


def _lower(found: re.Match[str]) -> str:
    return found[0].lower()


def spellings(value: str) -> list[str]:
    """A value as programs write it."""
    login = base64.b64encode(f"ann:{value}".encode()).decode()
    return [
        value, quote(value, safe=""), quote(value), quote_plus(value), re.sub("%..", _lower, quote(value, safe="")),
        quote(quote(value, safe=""), safe=""), json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(value))[3:-3], repr(value)[1:-1], repr(value.encode())[2:-1], html.escape(value),
        login, login.rstrip("="), base64.urlsafe_b64encode(f"ann:{value}".encode()).decode(),
    ]  # fmt: skip


def holds(text: str, values: list[str]) -> list[str]:
    """The spellings of the values that are in a text, in whole."""
    return [one for value in values for one in spellings(value) if one in text]


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Zs", "Zl", "Zp", "Cc"]), min_size=8, max_size=40),
    st.sampled_from(["{}", "answered: {}", '{{"error": "no key {}"}}', "x={}&y", "<{}>"]),
)
def test_no_spelling_of_a_given_value_is_left(value: str, text: str) -> None:
    assume(value.strip() == value and value.strip("*"))
    secrets._known.clear()
    remember(value)
    for spelled in spellings(value):
        assert spelled not in redact(text.format(spelled))


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_a_value_within_base64_is_found_wherever_it_begins(before: str) -> None:
    remember(KEY)
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(f"{before}{KEY}-and-more".encode()).decode()
        shown = redact(text)
        assert "***" in shown
        assert len(shown) < len(text) - len(KEY)


def test_short_values_do_not_shred_messages() -> None:
    text = "no domain 'a' in /data (there: api, monkey): key of ab and key1, none"
    for value in ("a", "ab", "api", "", "none", "key1x", "   ", "***"):
        remember(value)
    assert redact(text) == text
    remember("monk")
    assert redact(text) == text
    assert redact("got monk, 'monk'") == "got ***, '***'"


def test_of_two_values_the_longer_one_is_hidden_whole() -> None:
    remember("abcdefgh")
    remember("abcdefgh-ijkl")
    assert redact("x abcdefgh-ijkl abcdefgh") == "x *** ***"


def test_variables_of_other_libraries_are_known_by_their_names_and_as_urls() -> None:
    variables = {
        "HF_TOKEN": "hf_AbCdEfGh", "AWS_SECRET_ACCESS_KEY": "aws/secret+1234", "MLFLOW_TRACKING_PASSWORD": "hunter2",
        "HTTPS_PROXY": "http://ann:proxy-pass@proxy:1", "PWD": "/home/ann", "PARTITION_KEY": "message",
        "PIN_TOKEN": "1000", "PATH": "/usr/bin",
    }  # fmt: skip
    remember_variables(variables)
    text = "hf_AbCdEfGh aws/secret+1234 hunter2 proxy-pass in /home/ann, /usr/bin, 1000 messages"
    assert redact(text) == "*** *** *** *** in /home/ann, /usr/bin, 1000 messages"
    assert sorted(without_secrets(variables)) == ["PARTITION_KEY", "PATH", "PWD"]


def test_a_password_is_known_also_in_the_parts_a_parser_makes_of_it() -> None:
    SecretUrl("http://ann:s3cret/w0rd#tail9@host:1")
    assert redact("Port could not be cast to integer value as 's3cret', path /w0rd, tail9") == (
        "Port could not be cast to integer value as '***', path /***, ***"
    )


# --- what is known by its place ---------------------------------------------------------------------------

USER_SIGNS = st.characters(codec="ascii", exclude_categories=["Cc", "Zs"])


@given(
    st.sampled_from(["http", "https", "postgresql+psycopg2", "s3", "HTTP", "amqp", ""]),
    st.text(st.sampled_from("abcXYZ019-._~"), max_size=8),
    st.text(USER_SIGNS, min_size=1, max_size=20),
    st.sampled_from(["host", "host:5000", "127.0.0.1:9", "[::1]:80"]),
    st.sampled_from(["", "/", "/path", "/p?x=1", "?q=2", "/#f"]),
    st.sampled_from(["{}", "cannot reach {}: refused", "('{}', 1)", '{{"url": "{}"}}', "a={} b"]),
    st.booleans(),
)
def test_no_password_of_a_url_is_left(
    scheme: str, user: str, password: str, host: str, path: str, text: str, as_written: bool
) -> None:
    # Of `http://ann:12/34@host` nobody can tell whether 12 is a port; the process that was given it knows.
    assume("://" not in password and not (as_written and password[:1].isdigit()))
    marked = f"{password}Pw7" if as_written else quote(f"{password}Pw7", safe="")
    start = f"{scheme}://" if scheme else "//"
    shown = redact(text.format(f"{start}{user}:{marked}@{host}{path}"))
    assert f"{start}{host}" in shown
    assert "Pw7" not in shown


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("authorization: Basic dXNlcjpwYXNz;", "authorization: ***;"),
        ("Authorization: Custom abc", "Authorization: ***"),
        ("api-key: abc", "api-key: ***"),
        ("X-Api-Key:abc", "X-Api-Key:***"),
        ("{'api-key': 'abc', 'b': 1}", "{'api-key': '***', 'b': 1}"),
        ('{"headers": {"Authorization": "Bearer abc"}}', '{"headers": {"Authorization": "***"}}'),
        (r"{\"api-key\": \"abc\"}", r"{\"api-key\": \"***\"}"),
        ("(b'authorization', b'Bearer abc')", "(b'authorization', b'***')"),
        ("got Bearer abcdef123", "got Bearer ***"),
        ("got Basic dXNlcjpwYXNz", "got Basic ***"),
        ("host=db password=abc dbname=x", "host=db password=*** dbname=x"),
        ("AccountKey=abc==;Endpoint=x", "AccountKey=***;Endpoint=x"),
        ("QDRANT_API_KEY=abc", "QDRANT_API_KEY=***"),
        ("GET /a?token=abc&b=1 and ?x-amz-security-token=z", "GET /a?token=***&b=1 and ?x-amz-security-token=***"),
        ("see%3Fsig=abc&amp;key=d", "see%3Fsig=***&amp;key=***"),
    ],
)
def test_what_stands_where_secrets_do_is_hidden(text: str, clean: str) -> None:
    assert redact(text) == clean
    assert redact(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "the endpoint http://127.0.0.1:8000/v1 refuses the key\n  → correct OPENAI_API_KEY",
        "check the api key", "max_tokens=5, pad_token=0, monkey=1", "https://h/?monkey=1&design=2&page=3",
        "Basic authentication, Bearer token missing, Bearer realm=x", "see https://npm.example/@scope/pkg and a@b.de",
        "http://localhost:3000/@vite/client", '{"a":"http://qdrant:6333","m":"ann@b.de"}', "src/a//b.py: // todo",
        "no key for https://api.openai.com/v1", "judgments.jsonl, line 3: 'tokens' is missing", "x = y; a:b@c",
        "row 7: signature: unreadable", "s3://bucket/folder and abfss://box@account.dfs.core.windows.net/f",
    ],
)  # fmt: skip
def test_texts_without_secrets_stay_as_they_are(text: str) -> None:
    assert redact(text) == text


@given(st.text(st.characters(exclude_characters="@=:&?"), max_size=200))
def test_texts_without_any_place_for_a_secret_stay_as_they_are(text: str) -> None:
    assume("bearer" not in text.lower() and "basic" not in text.lower())
    assert redact(text) == text


PIECES = st.sampled_from(
    ["http://", "//", "a", "pw", ":", "@", "/", "?", "&", "sig=", "token", "=", " ", "Authorization: ", "Bearer ",
     "'api-key'", '"', "'", ": ", "\\", "%3F", "password=", "***", "[", "é", "\n", "Basic ", "dXNlcjpwYXNz", KEY]
)  # fmt: skip


@given(st.lists(PIECES, max_size=30).map("".join))
def test_redacting_twice_is_redacting_once(text: str) -> None:
    remember(KEY)
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "text",
    ["\\" * 50_000, "a" * 200_000, "//" + "a" * 100_000, "password" * 20_000, '"api-key": "' * 5_000,
     "http://" * 10_000, "https://" + "a:b@" * 20_000, "Basic " * 20_000, " " * 100_000],
)  # fmt: skip
def test_long_texts_end(text: str) -> None:
    """A pattern that looks again at what it has seen would take hours."""
    remember('a "long" \\\\ value with  blanks')
    assert redact(redact(text)) == redact(text)


# --- errors and logs --------------------------------------------------------------------------------------


def test_an_error_of_ours_holds_no_secret() -> None:
    remember(KEY)
    error = DomainEmbedError(f"Qdrant at http://a:b@h said {KEY}", f"see {KEY}")
    assert str(error) == "Qdrant at http://h said ***\n  → see ***"


def test_the_errors_that_led_to_one_are_cleaned_and_keep_their_place() -> None:
    remember(KEY)

    def fail() -> None:
        try:
            try:
                raise KeyError(KEY)
            except KeyError as first:
                raise ValueError("clean") from first
        except ValueError:
            error = RuntimeError(f"got {KEY}")
            error.add_note(f"note {KEY}")
            raise ExceptionGroup(f"all {KEY}", [error])  # noqa: B904

    with pytest.raises(ExceptionGroup) as caught:
        fail()
    told = "".join(traceback.format_exception(redacted_error(caught.value)))
    assert KEY not in told
    assert "ExceptionGroup: all ***" in told
    assert "RuntimeError: got ***" in told
    assert "ValueError: clean" in told
    assert "KeyError: '***'" in told
    assert told.count("in fail\n") == 3


def test_an_error_without_a_secret_is_the_same_one() -> None:
    error = ValueError("no secret")
    assert redacted_error(error) is error
    assert not isinstance(error, RedactedError)


def logged(log: Callable[[logging.Logger], None]) -> str:
    """What a program that has its own handler at the root reads of the product's log."""
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(logging.Formatter("%(message)s").format(record))

    handler = Kept()
    logging.root.addHandler(handler)
    try:
        log(logging.getLogger("domain_embed.some.module"))
    finally:
        logging.root.removeHandler(handler)
    return "\n".join(lines)


def raise_and_log(logger: logging.Logger) -> None:
    try:
        raise ValueError(f"told {KEY}")
    except ValueError:
        logger.exception("failed with %s", KEY)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (lambda logger: logger.warning("%s of %d", KEY, 3), "*** of 3"),
        (lambda logger: logger.warning(Secret(KEY)), "***"),
        (lambda logger: logger.warning("at %s", SecretUrl(URL)), "at https://qdrant.example:6333/x?sig=***&se=2030"),
        (raise_and_log, "ValueError: told ***"),
    ],
)
def test_no_log_of_the_product_holds_a_secret(log: Callable[[logging.Logger], None], expected: str) -> None:
    remember(KEY)
    found = logged(log)
    assert expected in found
    assert KEY not in found


def test_a_program_without_logging_sees_warnings_as_ever(capfd: pytest.CaptureFixture[str]) -> None:
    remember(KEY)
    handlers, logging.root.handlers = logging.root.handlers, []
    try:
        logging.getLogger("domain_embed.x").warning("dropped %s", KEY)
        logging.getLogger("domain_embed.x").info("not this")
    finally:
        logging.root.handlers = handlers
    assert capfd.readouterr().err == "dropped ***\n"


def test_nothing_is_known_that_was_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_known", set())
    monkeypatch.setattr(secrets, "_known_pattern", None)
    variables: Mapping[str, str] = {}
    remember_variables(variables)
    assert redact(KEY) == KEY
