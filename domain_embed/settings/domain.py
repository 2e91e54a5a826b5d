"""All sections of one domain."""

from typing import Self

from pydantic import Field, model_validator

from domain_embed.settings.corpus import ChunkingSettings, CorpusSettings
from domain_embed.settings.diagnosis import DiagnosisSettings
from domain_embed.settings.evidence import AnswerSettings, EvaluationSettings, PromotionSettings
from domain_embed.settings.judgments import (
    AlignmentSettings,
    JudgmentSettings,
    QualitySettings,
    ReviewSettings,
    SplitSettings,
    SyntheticSettings,
)
from domain_embed.settings.model import MiningSettings, ModelSettings, RerankerSettings, TrainingSettings
from domain_embed.settings.operations import AutomationSettings, MonitoringSettings
from domain_embed.settings.section import Section
from domain_embed.settings.serving import (
    AccessSettings,
    IndexSettings,
    RetentionSettings,
    RetrievalSettings,
    SparseSettings,
)


class DomainSettings(Section):
    """Everything `domain.yaml` may say."""

    description: str = ""
    """What this domain is, for the people who meet it in the UI."""
    owner: str | None = Field(None, pattern=r"^(team:\S+|\S+@\S+)$")
    """Who is asked about it: an email address, or team:name."""
    samples: bool = False
    """Show rows of tables and whole reports in Dagster and MLflow, with the texts of passages and queries, which then
    stay in their logs; false: figures, ids and counts. An edit makes nothing stale."""
    corpus: CorpusSettings = CorpusSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    judgments: JudgmentSettings = JudgmentSettings()
    alignment: AlignmentSettings = AlignmentSettings()
    synthetic: SyntheticSettings = SyntheticSettings()
    review: ReviewSettings = ReviewSettings()
    quality: QualitySettings = QualitySettings()
    splits: SplitSettings = SplitSettings()
    model: ModelSettings = ModelSettings()
    sparse: SparseSettings = SparseSettings()
    index: IndexSettings = IndexSettings()
    diagnosis: DiagnosisSettings = DiagnosisSettings()
    mining: MiningSettings = MiningSettings()
    reranker: RerankerSettings = RerankerSettings()
    training: TrainingSettings = TrainingSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    access: AccessSettings = AccessSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    answers: AnswerSettings = AnswerSettings()
    promotion: PromotionSettings = PromotionSettings()
    retention: RetentionSettings = RetentionSettings()
    automation: AutomationSettings = AutomationSettings()
    monitoring: MonitoringSettings = MonitoringSettings()

    @model_validator(mode="after")
    def _shares_leave_training_data(self) -> Self:
        if self.splits.validation + self.splits.test >= 0.9:
            raise ValueError("splits.validation and splits.test leave less than a tenth of the queries to train on")
        return self
