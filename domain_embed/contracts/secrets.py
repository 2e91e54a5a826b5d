"""Secrets: values that show themselves as `***`, and the one function that takes secrets out of any text.

A process knows the secrets it was given, because each registers itself as it is made; what it was not given is known
by its place: the user of a URL, a parameter called `sig`, an `Authorization` header.
"""

import base64
import binascii
import re
import threading
import traceback
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, unquote_plus

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

HIDDEN = "***"
FEWEST_CHARACTERS = 4
"""Shorter values stand in every second word; they are hidden by their place alone."""
DISTINCT_CHARACTERS = 8
"""Shorter values are hidden only where they stand alone: `key` is no part of `monkey`."""
PLACEHOLDERS = {"none", "null", "empty", "dummy", "true", "false"}
"""What people write for a key where none is needed."""


class Secret:
    """A text that only `reveal` gives out: printed, formatted, written as JSON or pickled it is `***`.

    Making one registers its value with `redact`.
    """

    __slots__ = ("_value",)

    def __init__(self, value: "str | Secret") -> None:
        self._value: str | None = value.reveal() if isinstance(value, Secret) else value
        self._register(self._value)

    def _register(self, value: str) -> None:
        remember(value)

    def reveal(self) -> str:
        """The value, for the place where a client connects. Raises ValueError for one that was pickled."""
        if self._value is None:
            raise ValueError("a secret does not travel in a pickle; read the environment again")
        return self._value

    def __str__(self) -> str:
        return HIDDEN

    def __repr__(self) -> str:
        return str(self)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._value == self._value

    def __hash__(self) -> int:
        return hash((type(self), self._value))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (type(self), str(self))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema

        text = core_schema.no_info_after_validator_function(cls, core_schema.str_schema())
        return core_schema.json_or_python_schema(
            text,
            core_schema.union_schema([core_schema.is_instance_schema(cls), text]),
            serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json"),
        )


class SecretUrl(Secret):
    """A URL that may carry credentials: shown without its user, and with `***` for parameters that are secrets."""

    __slots__ = ("_shown",)

    def __init__(self, value: "str | Secret") -> None:
        super().__init__(value)
        self._shown = redact(_with_slashes(self.reveal())).removeprefix("//")

    def _register(self, value: str) -> None:
        for secret in _secrets_of_url(_with_slashes(value)):
            remember(secret)

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return repr(self._shown)

    def child(self, name: str) -> "SecretUrl":
        """The URL of something below this one; parameters stay at the end."""
        path, mark, parameters = self.reveal().partition("?")
        return SecretUrl(f"{path.rstrip('/')}/{name}{mark}{parameters}")


def _with_slashes(url: str) -> str:
    """A URL whose scheme was forgotten has a user all the same."""
    return url if "//" in url or "@" not in url else f"//{url}"


def _unpickled(kind: type[Secret], shown: str) -> Secret:
    found = kind.__new__(kind)
    found._value = None
    if isinstance(found, SecretUrl):
        found._shown = shown
    return found


# --- what the surroundings hold ---------------------------------------------------------------------------

_SECRET_VARIABLE = re.compile(
    r"(?:^|_)(?:(?:api|access|account|encryption|private|secret|signing|storage)_?key(?:_id)?"
    r"|token|secret|password|passwd|passphrase|sas|signature)$|_pwd$",
    re.IGNORECASE,
)
"""Not every KEY: PARTITION_KEY holds a word of everyday messages."""


def remember_variables(variables: Mapping[str, str]) -> None:
    """Registers every secret among environment variables, those of other libraries included: by name or as a URL's."""
    for value in (found for name, text in variables.items() for found in _secrets_of_variable(name, text)):
        if not (value.isdigit() and len(value) < DISTINCT_CHARACTERS):
            remember(value)


def without_secrets(variables: Mapping[str, str]) -> dict[str, str]:
    """Environment variables for a process that needs no secret: those that hold one are left out."""
    return {name: text for name, text in variables.items() if not any(_secrets_of_variable(name, text))}


def _secrets_of_variable(name: str, text: str) -> Iterator[str]:
    if _SECRET_VARIABLE.search(name):
        yield text
    elif "://" in text:
        yield from _secrets_of_url(text)


def _secrets_of_url(url: str) -> Iterator[str]:
    """The password, or the user who has none, and values of parameters: as they are written and as they are meant.

    Of a password with a sign that ends a user's name or the host, parsers name parts in their complaints: those, too.
    """
    for match in _URL.finditer(url):
        users = url[match.end("scheme") : match.end("scheme") + _users_end(match["scheme"], match["rest"])]
        user, colon, password = users.removesuffix("@").partition(":")
        secret = password if colon else user
        yield from {secret, unquote(secret), *re.split(r"[/?#@:\[\]]", secret)}
        if colon and password:
            yield f"{unquote(user)}:{unquote(password)}"
    for parameter in _PARAMETER.finditer(url):
        yield from {parameter["value"], unquote_plus(parameter["value"]), unquote(parameter["value"])}


# --- the values this process was given --------------------------------------------------------------------

_known: set[str] = set()
_known_pattern: re.Pattern[str] | None = None
_learning = threading.Lock()


def remember(value: str) -> None:
    """From now on `redact` hides this value, also percent-encoded, in base64, and as JSON, Python or HTML write it."""
    global _known_pattern
    value = value.strip()
    if len(value) < FEWEST_CHARACTERS or value.lower() in PLACEHOLDERS or not value.strip("*"):
        return
    with _learning:
        if value not in _known:
            _known.add(value)
            _known_pattern = None  # made anew when it is needed


def _pattern_of_known() -> re.Pattern[str] | None:
    global _known_pattern
    with _learning:
        if _known_pattern is None and _known:
            longest_first = sorted(_known, key=lambda value: (-len(value), value))
            _known_pattern = re.compile("|".join(map(_spellings, longest_first)))
        return _known_pattern


def _spellings(value: str) -> str:
    written = "".join(map(_spelled, re.findall(r"\s+|\\+|.", value)))
    if len(value) < DISTINCT_CHARACTERS:
        return rf"(?<![A-Za-z0-9]){written}(?![A-Za-z0-9])"
    return "|".join([written, *_in_base64(value.encode(errors="replace"))])


def _spelled(char: str) -> str:
    """A pattern for one sign, or several blanks or backslashes, as URLs, JSON, Python and HTML write it."""
    if char.isspace():
        return r"(?:\s|\\{1,8}[nrt]|\+|%(?:25)*(?:20|0[9aAdD]))+"
    if char[0] == "\\":
        return r"(?:\\|%(?:25)*5[cC])+"
    if char.isascii() and (char.isalnum() or char in "-_.~"):
        return re.escape(char)
    octets = char.encode(errors="replace")
    units = char.encode("utf-16-be", errors="replace").hex()
    percent = "".join(f"%(?:25)*{_hex(f'{octet:02x}')}" for octet in octets)
    unicode = "".join(rf"\\{{1,8}}u{_hex(units[start : start + 4])}" for start in range(0, len(units), 4))
    python = "".join(rf"\\{{1,8}}x{_hex(f'{octet:02x}')}" for octet in octets)
    python += rf"|\\{{1,8}}U{_hex(f'{ord(char):08x}')}"
    latin = rf"\\{{1,8}}x{_hex(f'{ord(char):02x}')}"
    html = rf"&(?:#{ord(char)}|#[xX]0*{_hex(f'{ord(char):x}')}|{_HTML.get(char, 'amp')});"
    return rf"(?:{percent}|{unicode}|{python}|{latin}|{html}|\\{{0,8}}{re.escape(char)})"


_HTML = {"<": "lt", ">": "gt", '"': "quot", "'": "apos"}


def _hex(digits: str) -> str:
    return "".join(f"[{one}{one.upper()}]" if one.isalpha() else one for one in digits)


def _in_base64(value: bytes) -> Iterator[str]:
    """Patterns of what is the same in base64 whatever stands before and after: one for each place in a triple."""
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + value).decode()
        core = whole[(before * 8 + 5) // 6 : (before + len(value)) * 8 // 6]
        yield "".join({"+": "(?:%2[bB]|[-+])", "/": r"(?:%2[fF]|_|\\*/)"}.get(char, char) for char in core)


# --- what is known by its place ---------------------------------------------------------------------------

_URL = re.compile(
    r"(?P<scheme>(?:[a-z][a-z0-9+.\-]{0,30}:)?//)(?P<rest>(?:(?![a-z][a-z0-9+.\-]{0,30}://)\S)*)", re.IGNORECASE
)
_PORT_ENDS = re.compile(r"$|\d+(?:[/?#\s\"'<>`,;)\]}\\]|$)")
_CONTAINERS = ("abfs://", "abfss://", "wasb://", "wasbs://")
"""Azure's: what stands before the @ is a container, no user."""

_WORDS = (
    r"(?:(?:api|access|account|auth|bearer|client|id|identity|private|refresh|sas|secret|security|session|shared"
    r"|subscription|user|db|x)[-_.]?)*"
    r"(?:api[-_.]?key|key|token|secret|password|passwd|passphrase|pwd|signature|sig|sas|jwt|credentials?)"
)
_PARAMETER = re.compile(
    rf"(?P<before>(?:[?&;#]|%3F|%26|\\u0026)(?:amp;)?(?:{_WORDS}|x-amz-[\w\-]+|x-goog-[\w\-]+)(?:=|%3D))"
    r"(?P<value>[^&\s\"'<>#]+)",
    re.IGNORECASE,
)
_STRONG = (
    r"(?:[\w.\-]*[_.\-])?(?:password|passwd|passphrase|secret|api[-_]?key|(?:access|account|secret|private)[-_]?key"
    r"|(?:access|auth|session|security|refresh|bearer)[-_]?token|signature)"
)
_ASSIGNED = re.compile(
    rf"(?P<before>(?<![\w.\-]){_STRONG}=)(?P<value>\"[^\"\n]+\"|'[^'\n]+'|[^\s,;&\"']+)", re.IGNORECASE
)
_HEADERS = r"(?:proxy-)?authorization|(?:x-)?api-key|x-[\w\-]*(?:token|api-key|signature)"
_HEADER = re.compile(
    rf"(?P<before>(?<![\w\-])(?:{_HEADERS})\s*:\s*)(?P<value>(?:[a-z][\w\-]*[ \t]+)?[^\s,;\"'}}\]\\]+)",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    rf"(?P<before>\\{{0,8}}(?P<mark>[\"'])(?:{_HEADERS}|{_STRONG}|token)\\{{0,8}}(?P=mark)\s*(?:[:,]|=>?)\s*[\[(]?\s*[bru]?\\{{0,8}}(?P<quote>[\"']))"
    r"(?P<value>(?:(?!\\{0,8}(?P=quote))[^\n])+)",
    re.IGNORECASE,
)
_BEARER = re.compile(
    r"(?P<before>\bBearer\s+)(?P<value>(?!realm=|error=|authentication\b|token\b|scope)[\w.~+/=\-]{6,})"
)
_BASIC = re.compile(r"(?P<before>\bBasic\s+)(?P<value>[A-Za-z0-9+/_\-]{4,}={0,2})")


def redact(text: str) -> str:
    """The text without secrets: with `***` for each, and without the user of any URL.

    Hidden is every value this process was given, in any spelling, and what stands where secrets do: parameters of URLs,
    headers, assignments. A text without any is returned as it is.
    """
    known = _pattern_of_known()
    if known is not None:
        text = known.sub(HIDDEN, text)
    if "//" in text:
        text = _URL.sub(_without_user, text)
    for pattern in (_PARAMETER, _QUOTED, _HEADER, _ASSIGNED, _BEARER):
        text = pattern.sub(rf"\g<before>{HIDDEN}", text)
    return _BASIC.sub(lambda found: found["before"] + HIDDEN if _is_login(found["value"]) else found[0], text)


def _without_user(found: re.Match[str]) -> str:
    return found["scheme"] + found["rest"][_users_end(found["scheme"], found["rest"]) :]


def _users_end(scheme: str, rest: str) -> int:
    """How much of a URL after its scheme is the user, @ included; 0 for none.

    Passwords are often written as they are, whatever signs they hold. So where there is a user at all, it goes to the
    last @; and a host whose port is no number is a user.
    """
    authority = re.split(r"[/?#\"'<>`]", rest, maxsplit=1)[0]
    if scheme.lower() in _CONTAINERS and ":" not in authority:
        return 0
    host, colon, _ = authority.partition(":")
    is_port = host.startswith("[") or not colon or _PORT_ENDS.match(rest, len(host) + 1) is not None
    if "@" not in authority and is_port:
        return 0
    return rest.rfind("@") + 1


def _is_login(text: str) -> bool:
    """Whether base64 says `user:password`."""
    try:
        return b":" in base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_"))
    except binascii.Error:
        return False


# --- errors -----------------------------------------------------------------------------------------------


class RedactedError(Exception):
    """Stands for an error of another library whose text held a secret: its name, its text without it, its place."""


def redacted_error(error: BaseException) -> BaseException:
    """The error itself, or where its text holds a secret a stand-in without; so are all that led to it."""
    return _redacted_error(error, {})


def _told(error: BaseException) -> str:
    """What is printed of an error alone, with the members of a group."""
    text = "".join(traceback.format_exception_only(error)).strip()
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return "\n".join([text, *map(_told, members)])


def _redacted_error(error: BaseException, done: dict[int, BaseException]) -> BaseException:
    if id(error) in done:
        return done[id(error)]
    text = _told(error)
    shown = redact(text)
    clean = error if shown == text else RedactedError(shown).with_traceback(error.__traceback__)
    done[id(error)] = clean
    cause, context, hidden = error.__cause__, error.__context__, error.__suppress_context__
    clean.__cause__ = None if cause is None else _redacted_error(cause, done)
    clean.__context__ = None if context is None else _redacted_error(context, done)
    clean.__suppress_context__ = hidden
    return clean
