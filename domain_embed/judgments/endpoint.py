"""A language model behind an OpenAI-compatible server: asked at a bounded rate, with errors a user can act on."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from domain_embed.contracts.errors import SettingsError, excerpt
from domain_embed.contracts.secrets import Secret, SecretUrl, redact

if TYPE_CHECKING:
    import openai

DEFAULT_URL = "https://api.openai.com/v1"
NO_KEY = "none"
"""Sent to a server of one's own: it needs no key, but the client insists on one."""
RETRIES = 5
"""After 429, 5xx and timeouts; the client waits as long as the server says, or else twice as long each time."""
TIMEOUT_S = 120.0
MAX_REFUSALS = 5
"""So many requests refused in a row are no matter of single passages."""
SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class Address:
    """Where the model is: base URL, key and name. `setting` is the key of domain.yaml that may name the model."""

    url: SecretUrl
    model: str
    key: Secret
    setting: str

    @property
    def section(self) -> str:
        """The section of domain.yaml in which the model is named."""
        return self.setting.rpartition(".")[0]

    @classmethod
    def read(cls, model: str, variables: Mapping[str, str], setting: str = "synthetic.model") -> "Address":
        """From OPENAI_BASE_URL, OPENAI_API_KEY and, unless `model` names one, OPENAI_MODEL.

        Raises SettingsError that names the variable which is missing or cannot be used.
        """
        asked = f"{setting.rpartition('.')[0]}.source is `endpoint`"
        url = variables.get("OPENAI_BASE_URL", "").strip() or DEFAULT_URL
        key = variables.get("OPENAI_API_KEY", "").strip()
        name = model or variables.get("OPENAI_MODEL", "").strip()
        if not name:
            raise SettingsError(f"{asked}, but no model is named", f"set {setting} or OPENAI_MODEL")
        if not key and url == DEFAULT_URL:
            raise SettingsError(
                f"{asked}, but there is no key for {DEFAULT_URL}",
                "set OPENAI_API_KEY, or OPENAI_BASE_URL to a server of your own",
            )
        if not _is_web_address(url):
            raise SettingsError(
                f"OPENAI_BASE_URL is not a web address: {SecretUrl(url)!r}", "write http://HOST:PORT/v1 or the like"
            )
        return cls(SecretUrl(url), name, Secret(key or NO_KEY), setting)


class RateLimit:
    """Lets through so many requests a minute, evenly spaced; sleeps in between."""

    def __init__(
        self, per_minute: int, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._interval_s = 60.0 / per_minute
        self._clock, self._sleep = clock, sleep
        self._free_at = float("-inf")

    def wait(self) -> None:
        """Returns when the next request may be sent."""
        now = self._clock()
        if now < self._free_at:
            self._sleep(self._free_at - now)
        self._free_at = max(now, self._free_at) + self._interval_s


class Endpoint:
    """Asks a model one prompt at a time."""

    def __init__(self, address: Address, limit: RateLimit) -> None:
        self._address = address
        self._limit = limit
        self._refused_in_a_row = 0

    def ask(self, prompt: str) -> str | None:
        """The model's answer, "" when there is none in the response, or None when the server refuses this request.

        Raises SettingsError when the server cannot be reached, refuses the key or does not know the model, goes on
        failing after all retries, or refuses many requests in a row.
        """
        import openai

        self._limit.wait()
        try:
            response = self._client.chat.completions.with_raw_response.create(
                model=self._address.model, messages=[{"role": "user", "content": prompt}]
            )
            content = response.content
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            self._refuse(error)
            return None
        except openai.APIStatusError as error:
            raise self._status_error(error) from None
        except openai.APIConnectionError as error:
            reason = error.__cause__ or error
            raise SettingsError(
                f"the endpoint {self._address.url} cannot be reached: {reason}",
                "start it, or correct OPENAI_BASE_URL; answers so far are kept",
            ) from None
        self._refused_in_a_row = 0
        return _answer(content)

    @cached_property
    def _client(self) -> "openai.OpenAI":
        import openai

        return openai.OpenAI(
            base_url=self._address.url.reveal(),
            api_key=self._address.key.reveal(),
            max_retries=RETRIES,
            timeout=TIMEOUT_S,
        )

    def _refuse(self, error: "openai.APIStatusError") -> None:
        """A filter, or a passage too long for the model, concerns one passage; many in a row do not."""
        self._refused_in_a_row += 1
        if self._refused_in_a_row == MAX_REFUSALS:
            raise SettingsError(
                f"the endpoint {self._address.url} refused {MAX_REFUSALS} requests in a row: {excerpt(_said(error))}",
                f"check that {self._address.model!r} answers chat requests; answers so far are kept",
            ) from None

    def _status_error(self, error: "openai.APIStatusError") -> SettingsError:
        problem, hint = f"answers {error.status_code}", "try again later; answers so far are kept"
        match error.status_code:
            case 401 | 403:
                problem, hint = "refuses the key", "correct OPENAI_API_KEY"
            case 404:
                problem = f"does not know the model {self._address.model!r}, or is no chat endpoint"
                setting = self._address.setting
                hint = f"correct {setting} or OPENAI_MODEL, or OPENAI_BASE_URL, which mostly ends in /v1"
            case 429:
                problem = "takes no more requests"
                hint = f"lower {self._address.section}.requests_per_minute; answers so far are kept"
        return SettingsError(f"the endpoint {self._address.url} {problem}: {excerpt(_said(error))}", hint)


def _said(error: "openai.APIStatusError") -> str:
    """What the server said, without secrets and then shortened: it may be a whole page."""
    return " ".join(redact(error.response.text).split())[:SHOWN_CHARACTERS] or f"status {error.status_code}"


def _answer(content: bytes) -> str:
    """The text of the first choice of a chat completion; "" when the response is something else."""
    try:
        completion: Any = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    match completion:
        case {"choices": [{"message": {"content": str(text)}}, *_]}:
            return text
    return ""


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
