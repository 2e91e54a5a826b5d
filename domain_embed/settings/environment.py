"""What the surroundings of a deployment decide, and where its domains are."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

from pydantic import BaseModel, ConfigDict

from domain_embed.contracts.errors import SettingsError
from domain_embed.contracts.names import one_name, require_domain_name
from domain_embed.contracts.secrets import Secret, SecretUrl, remember_variables
from domain_embed.settings.base_model import with_own_prompts
from domain_embed.settings.domain import DomainSettings
from domain_embed.settings.file import SETTINGS_FILE, read_settings

Backend: TypeAlias = Literal["auto", "torch", "openvino"]
Precision: TypeAlias = Literal["auto", "fp32", "bf16"]
SEARCH_SECONDS = 10.0
"""Of waiting. What a search costs is milliseconds; a server that says nothing for so long is not there."""
QDRANT_GRPC_PORT = 6334
"""Where a Qdrant server listens for gRPC unless it is told otherwise."""


class Environment(BaseModel):
    """What the surroundings decide: where things live and how they are reached. Secrets never come from files.

    It may be printed, logged, dumped and kept: only `reveal` gives a secret out.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    home: Path
    qdrant_url: SecretUrl | None = None
    qdrant_api_key: Secret | None = None
    qdrant_grpc_port: int | None = QDRANT_GRPC_PORT
    mlflow_tracking_uri: SecretUrl | None = None
    mlflow_ui: SecretUrl | None = None
    storage: SecretUrl | None = None
    backend: Backend = "auto"
    precision: Precision = "auto"
    search_seconds: float = SEARCH_SECONDS

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> "Environment":
        """From DOMAIN_EMBED_HOME, QDRANT_URL, QDRANT_API_KEY and MLFLOW_TRACKING_URI; empty means unset.

        DOMAIN_EMBED_MLFLOW_UI is where people's browsers reach MLflow, if not under its tracking URI.
        DOMAIN_EMBED_STORAGE is the URL in object storage where what runs make is kept, a folder for each domain.
        DOMAIN_EMBED_BACKEND and DOMAIN_EMBED_PRECISION say how vectors are computed on this machine; SettingsError
        when there is no such backend or precision, or for a key that no header can carry. DOMAIN_EMBED_SEARCH_SECONDS
        is how long a search may wait for a server, and for its turn at the model. QDRANT_GRPC_PORT is where the server
        takes what is loaded by gRPC, 0 for never. Secrets of other libraries among the variables are remembered, too:
        they are in no message either.
        """
        remember_variables(variables)
        home = variables.get("DOMAIN_EMBED_HOME")
        return cls(
            home=Path(home).expanduser().resolve() if home else default_home(),
            qdrant_url=_url(variables, "QDRANT_URL"),
            qdrant_api_key=_key(variables, "QDRANT_API_KEY"),
            qdrant_grpc_port=_port(variables, "QDRANT_GRPC_PORT", QDRANT_GRPC_PORT),
            mlflow_tracking_uri=_url(variables, "MLFLOW_TRACKING_URI"),
            mlflow_ui=_url(variables, "DOMAIN_EMBED_MLFLOW_UI"),
            storage=_url(variables, "DOMAIN_EMBED_STORAGE"),
            backend=cast("Backend", _one_of(variables, "DOMAIN_EMBED_BACKEND", get_args(Backend))),
            precision=cast("Precision", _one_of(variables, "DOMAIN_EMBED_PRECISION", get_args(Precision))),
            search_seconds=_seconds(variables, "DOMAIN_EMBED_SEARCH_SECONDS", SEARCH_SECONDS),
        )

    def domain_folder(self, name: str) -> Path:
        """The folder of a domain's own files. Raises SettingsError for what no domain may be called."""
        return self.home / require_domain_name(name)

    def new_domain_folder(self, name: str) -> Path:
        """The folder of a domain to be made. Raises SettingsError also where another one could be taken for it."""
        folder = self.domain_folder(name)
        taken = next((other for other in self.domains() if other != name and one_name(other, name)), None)
        if taken is not None:
            raise SettingsError(f"{name!r} and {taken!r} cannot be told apart everywhere", "choose another name")
        return folder

    def domains(self) -> list[str]:
        """Names of all folders of home that hold a domain.yaml, also those that no domain may be called."""
        return sorted(path.parent.name for path in self.home.glob(f"*/{SETTINGS_FILE}"))

    def settings(self, name: str) -> DomainSettings:
        """Settings of one domain, with its model's own prompts where the file leaves them open.

        An unknown name is a SettingsError that lists the known ones.
        """
        path = self.domain_folder(name) / SETTINGS_FILE
        if not path.exists():
            known = ", ".join(self.domains()) or "none yet"
            raise SettingsError(
                f"no domain {name!r} in {self.home} (there: {known})", f"make it with `domain-embed init {name}`"
            )
        settings = read_settings(path)
        return settings.model_copy(update={"model": with_own_prompts(settings.model, path.parent)})


def _url(variables: Mapping[str, str], name: str) -> SecretUrl | None:
    value = variables.get(name)
    return SecretUrl(value) if value else None


def _key(variables: Mapping[str, str], name: str) -> Secret | None:
    """It travels in a header; a line's end that came along from a file is no part of it."""
    value = variables.get(name, "").strip()
    if not (value.isascii() and value.isprintable()):
        raise SettingsError(
            f"{name} holds signs that no key is made of", "give it in one line of ASCII letters, digits and signs"
        )
    return Secret(value) if value else None


def _one_of(variables: Mapping[str, str], name: str, allowed: Sequence[str]) -> str:
    value = variables.get(name) or allowed[0]
    if value not in allowed:
        raise SettingsError(f"{name} is {value!r}", f"allowed: {', '.join(allowed)}")
    return value


def _seconds(variables: Mapping[str, str], name: str, default: float) -> float:
    text = variables.get(name)
    try:
        seconds = float(text) if text else default
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise SettingsError(f"{name} is {text!r}", "give a number of seconds above 0, such as 10")
    return seconds


def _port(variables: Mapping[str, str], name: str, default: int) -> int | None:
    text = variables.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise SettingsError(f"{name} is {text!r}", "give the number of a port, or 0 for none")
    return int(text) or None


def default_home() -> Path:
    """`data/` of the current folder; in a checkout without one, the repository's `data/`."""
    here = Path.cwd() / "data"
    repository = Path(__file__).parents[2]
    if not here.is_dir() and (repository / "pyproject.toml").exists():
        return repository / "data"
    return here
