"""DomainSettings: what `domain.yaml` and the environment may say."""

from domain_embed.settings.corpus import ChunkingSettings, CorpusSettings, MetadataType
from domain_embed.settings.domain import DomainSettings
from domain_embed.settings.environment import Environment, default_home
from domain_embed.settings.evidence import EvaluationSettings, PromotionSettings
from domain_embed.settings.file import SETTINGS_FILE, json_schema, read_settings, render_yaml
from domain_embed.settings.judgments import (
    AlignmentSettings,
    JudgmentSettings,
    QualitySettings,
    ReviewSettings,
    Severity,
    SplitSettings,
    SyntheticSettings,
)
from domain_embed.settings.model import (
    PACKAGED_MINILM,
    MiningSettings,
    ModelSettings,
    RerankerSettings,
    TrainingSettings,
)
from domain_embed.settings.operations import AutomationSettings, MonitoringSettings
from domain_embed.settings.section import Section
from domain_embed.settings.serving import AccessSettings, RetentionSettings, RetrievalSettings, SparseSettings
from domain_embed.settings.sources import (
    AnnotationsSource,
    AnswersSource,
    BeirSource,
    ClicksSource,
    JudgmentSource,
    PairsSource,
    TicketsSource,
    TrecSource,
    TriplesSource,
)

__all__ = [
    "PACKAGED_MINILM",
    "SETTINGS_FILE",
    "AccessSettings",
    "AlignmentSettings",
    "AnnotationsSource",
    "AnswersSource",
    "AutomationSettings",
    "BeirSource",
    "ChunkingSettings",
    "ClicksSource",
    "CorpusSettings",
    "DomainSettings",
    "Environment",
    "EvaluationSettings",
    "JudgmentSettings",
    "JudgmentSource",
    "MetadataType",
    "MiningSettings",
    "ModelSettings",
    "MonitoringSettings",
    "PairsSource",
    "PromotionSettings",
    "QualitySettings",
    "RerankerSettings",
    "RetentionSettings",
    "RetrievalSettings",
    "ReviewSettings",
    "Section",
    "Severity",
    "SparseSettings",
    "SplitSettings",
    "SyntheticSettings",
    "TicketsSource",
    "TrainingSettings",
    "TrecSource",
    "TriplesSource",
    "default_home",
    "json_schema",
    "read_settings",
    "render_yaml",
]
