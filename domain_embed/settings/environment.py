"""What the surroundings of a deployment decide, and where its domains are."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from domain_embed.contracts.errors import SettingsError
from domain_embed.settings.domain import DomainSettings
from domain_embed.settings.file import SETTINGS_FILE, read_settings


class Environment(BaseModel):
    """What the surroundings decide: where things live and how they are reached. Secrets never come from files."""

    model_config = ConfigDict(frozen=True)

    home: Path
    qdrant_url: str | None = None
    qdrant_api_key: str | None = Field(None, repr=False)
    mlflow_tracking_uri: str | None = None
    mlflow_ui: str | None = None

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> "Environment":
        """From DOMAIN_EMBED_HOME, QDRANT_URL, QDRANT_API_KEY and MLFLOW_TRACKING_URI; empty means unset.

        DOMAIN_EMBED_MLFLOW_UI is where people's browsers reach MLflow, if not under its tracking URI.
        """
        home = variables.get("DOMAIN_EMBED_HOME")
        return cls(
            home=Path(home).expanduser().resolve() if home else default_home(),
            qdrant_url=variables.get("QDRANT_URL") or None,
            qdrant_api_key=variables.get("QDRANT_API_KEY") or None,
            mlflow_tracking_uri=variables.get("MLFLOW_TRACKING_URI") or None,
            mlflow_ui=variables.get("DOMAIN_EMBED_MLFLOW_UI") or None,
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


def default_home() -> Path:
    """`data/` of the current folder; in a checkout without one, the repository's `data/`."""
    here = Path.cwd() / "data"
    repository = Path(__file__).parents[2]
    if not here.is_dir() and (repository / "pyproject.toml").exists():
        return repository / "data"
    return here
