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
    ForgettingSettings,
    MiningSettings,
    ModelSettings,
    RerankerSettings,
    SearchSettings,
    TrainingSettings,
)
from domain_embed.settings.objectives import (
    DISTILLING,
    CachedRankingObjective,
    DistillKlObjective,
    FullTuning,
    LoraTuning,
    MarginMseObjective,
    MarginObjective,
    Method,
    Objective,
    RankingObjective,
    TripletObjective,
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
    "DISTILLING",
    "PACKAGED_MINILM",
    "SETTINGS_FILE",
    "AccessSettings",
    "AlignmentSettings",
    "AnnotationsSource",
    "AnswersSource",
    "AutomationSettings",
    "BeirSource",
    "CachedRankingObjective",
    "ChunkingSettings",
    "ClicksSource",
    "CorpusSettings",
    "DistillKlObjective",
    "DomainSettings",
    "Environment",
    "EvaluationSettings",
    "ForgettingSettings",
    "FullTuning",
    "JudgmentSettings",
    "JudgmentSource",
    "LoraTuning",
    "MarginMseObjective",
    "MarginObjective",
    "MetadataType",
    "Method",
    "MiningSettings",
    "ModelSettings",
    "MonitoringSettings",
    "Objective",
    "PairsSource",
    "PromotionSettings",
    "QualitySettings",
    "RankingObjective",
    "RerankerSettings",
    "RetentionSettings",
    "RetrievalSettings",
    "ReviewSettings",
    "SearchSettings",
    "Section",
    "Severity",
    "SparseSettings",
    "SplitSettings",
    "SyntheticSettings",
    "TicketsSource",
    "TrainingSettings",
    "TrecSource",
    "TriplesSource",
    "TripletObjective",
    "default_home",
    "json_schema",
    "read_settings",
    "render_yaml",
]
