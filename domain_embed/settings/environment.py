"""What the surroundings of a deployment decide, and where its domains are."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

from pydantic import BaseModel, ConfigDict, Field

from domain_embed.contracts.errors import SettingsError
from domain_embed.settings.domain import DomainSettings
from domain_embed.settings.file import SETTINGS_FILE, read_settings

Backend: TypeAlias = Literal["auto", "torch", "openvino"]
Precision: TypeAlias = Literal["auto", "fp32", "bf16"]


class Environment(BaseModel):
    """What the surroundings decide: where things live and how they are reached. Secrets never come from files."""

    model_config = ConfigDict(frozen=True)

    home: Path
    qdrant_url: str | None = None
    qdrant_api_key: str | None = Field(None, repr=False)
    mlflow_tracking_uri: str | None = None
    mlflow_ui: str | None = None
    storage: str | None = None
    backend: Backend = "auto"
    precision: Precision = "auto"

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> "Environment":
        """From DOMAIN_EMBED_HOME, QDRANT_URL, QDRANT_API_KEY and MLFLOW_TRACKING_URI; empty means unset.

        DOMAIN_EMBED_MLFLOW_UI is where people's browsers reach MLflow, if not under its tracking URI.
        DOMAIN_EMBED_STORAGE is the URL in object storage where what runs make is kept, a folder for each domain.
        DOMAIN_EMBED_BACKEND and DOMAIN_EMBED_PRECISION say how vectors are computed on this machine; SettingsError
        when there is no such backend or precision.
        """
        home = variables.get("DOMAIN_EMBED_HOME")
        return cls(
            home=Path(home).expanduser().resolve() if home else default_home(),
            qdrant_url=variables.get("QDRANT_URL") or None,
            qdrant_api_key=variables.get("QDRANT_API_KEY") or None,
            mlflow_tracking_uri=variables.get("MLFLOW_TRACKING_URI") or None,
            mlflow_ui=variables.get("DOMAIN_EMBED_MLFLOW_UI") or None,
            storage=variables.get("DOMAIN_EMBED_STORAGE") or None,
            backend=cast("Backend", _one_of(variables, "DOMAIN_EMBED_BACKEND", get_args(Backend))),
            precision=cast("Precision", _one_of(variables, "DOMAIN_EMBED_PRECISION", get_args(Precision))),
        )

    def domain_folder(self, name: str) -> Path:
        """The folder of a domain's own files."""
        return self.home / name

    def domains(self) -> list[str]:
        """Names of all domains: folders of home that hold a domain.yaml."""
        return sorted(path.parent.name for path in self.home.glob(f"*/{SETTINGS_FILE}"))

    def settings(self, name: str) -> DomainSettings:
        """Settings of one domain; an unknown name is an error that lists the known ones."""
        path = self.domain_folder(name) / SETTINGS_FILE
        if not path.exists():
            known = ", ".join(self.domains()) or "none yet"
            raise SettingsError(
                f"no domain {name!r} in {self.home} (there: {known})", f"make it with `domain-embed init {name}`"
            )
        return read_settings(path)


def _one_of(variables: Mapping[str, str], name: str, allowed: Sequence[str]) -> str:
    value = variables.get(name) or allowed[0]
    if value not in allowed:
        raise SettingsError(f"{name} is {value!r}", f"allowed: {', '.join(allowed)}")
    return value


def default_home() -> Path:
    """`data/` of the current folder; in a checkout without one, the repository's `data/`."""
    here = Path.cwd() / "data"
    repository = Path(__file__).parents[2]
    if not here.is_dir() and (repository / "pyproject.toml").exists():
        return repository / "data"
    return here
