"""Settings of what happens by itself, and of what is watched once a model serves."""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from domain_embed.settings.section import Section

CRON_FIELD = r"[\d*/,\-A-Za-z#]+"


class AutomationSettings(Section):
    """What runs by itself while Dagster's daemon does (`domain-embed ui`). An edit makes nothing stale."""

    observe: bool = True
    """Look whether files have changed, by content. This starts no run."""
    every_seconds: int = Field(30, ge=5)
    """How often is looked."""
    keep_data_current: bool = True
    """Bring documents, passages, base collection, judgments, splits and what is said about them up to date as soon as
    something they read changes. Made-up queries of a language model are left to a person: they cost money. So is the
    diagnosis, which fits a small model: the next training brings it up to date."""
    retrain_schedule: str | None = Field("0 3 * * 1", pattern=rf"^{CRON_FIELD}( {CRON_FIELD}){{4}}$")
    """Cron: bring everything up to date, the model too, if something is stale then; null: never. As with the rules
    below, the first model is trained when a person says so, and `promotion` decides what goes live."""
    timezone: str = "UTC"
    """Of the schedule, such as Europe/Berlin."""
    retrain_after_judgments: int | None = Field(200, ge=1)
    """Retrain when at least this many judgments are new since the newest model was trained; null: never."""
    retrain_after_new_passages: float | None = Field(0.3, gt=0, le=1)
    """Retrain when more than this share of the passages is new or changed since then; null: never."""
    retrain_on_quality_drop: bool = True
    """Retrain when the served quality has dropped, see `monitoring`."""

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{value!r} is no time zone such as Europe/Berlin") from None
        return value


class MonitoringSettings(Section):
    """What is watched once a model serves. An edit makes only `served_quality` stale."""

    query_log: str | None = None
    """Folder of the log that `domain_embed.log_query` writes, relative to this folder; null: nothing is watched."""
    low_score: float | None = None
    """A best hit that scores below this counts as a bad answer; null: not counted."""
    days: int = Field(28, ge=2)
    """How many days back is looked."""
    recent_days: int = Field(7, ge=1)
    """The newest of them, which are compared with those before."""
    min_searches: int = Field(50, ge=1)
    """Fewer searches on either side of a comparison prove nothing and raise no alarm."""
    max_drop: float = Field(0.05, gt=0, le=1)
    """Alarm when click MRR or success fell, or the share of bad answers rose, by more than this, with the whole 95 %
    interval."""
    max_query_drift: float = Field(0.3, gt=0, le=1)
    """Alarm when so large a share of the queries is unlike all training queries."""
    champion_max_age_days: int | None = Field(90, ge=1)
    """What is live is marked overdue when nothing has confirmed or replaced it for so long; null: never."""
    sources_max_age_days: int | None = Field(None, ge=1)
    """Sources are marked overdue when their content has not changed for so long; null: never."""
