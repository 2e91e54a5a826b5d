"""Fixtures of all tests: no test asks the network, and the real base model is loaded once."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.encoding.models import resolve_model
from domain_embed_tests import scenario

# Examples write files and machines are noisy: a time limit per example would fail by chance.
settings.register_profile(
    "domain-embed",
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("domain-embed")


@pytest.fixture(scope="session")
def minilm_path() -> str:
    """Folder of the real base model."""
    return resolve_model(scenario.BASE_MODEL, Path())


@pytest.fixture(scope="session")
def minilm(minilm_path: str) -> TorchEncoder:
    """The real base model, short texts only."""
    return TorchEncoder.load(minilm_path, scenario.SETTINGS.model)
