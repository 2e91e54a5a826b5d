"""Fixtures of all tests: no test asks the network, and the real base model is loaded once."""

import os
import random

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# On a machine shared with others, threads that wait for each other made training 20 times slower, not faster.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from domain_embed.contracts import secrets
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.settings import resolve_model
from domain_embed_tests import scenario
from domain_embed_tests.spy import Spy, spied
from domain_embed_tests.whole import Whole, copy_of, finish_domain

# Examples write files and machines are noisy: a time limit per example would fail by chance. The examples are the same
# in every run, so that a change is judged by what it changes.
settings.register_profile(
    "domain-embed",
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("domain-embed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests run with DOMAIN_EMBED_SLOW=1, else DOMAIN_EMBED_SLOW_SAMPLE of them, drawn by DOMAIN_EMBED_SEED."""
    slow = {item.nodeid: item for item in items if item.get_closest_marker("slow")}
    if os.environ.get("DOMAIN_EMBED_SLOW"):
        return
    size = min(int(os.environ.get("DOMAIN_EMBED_SLOW_SAMPLE") or 0), len(slow))
    drawn = random.Random(os.environ.get("DOMAIN_EMBED_SEED", "")).sample(sorted(slow), size)
    for name in slow.keys() - set(drawn):
        slow[name].add_marker(pytest.mark.skip(reason="takes minutes; set DOMAIN_EMBED_SLOW=1"))


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test has for a secret is a word in another."""
    monkeypatch.setattr(secrets, "_known", set(secrets._known))
    monkeypatch.setattr(secrets, "_known_pattern", None)


@pytest.fixture(scope="session")
def minilm_path() -> str:
    """Folder of the real base model."""
    return resolve_model(scenario.BASE_MODEL, Path())


@pytest.fixture(scope="session")
def minilm(minilm_path: str) -> TorchEncoder:
    """The real base model, short texts only."""
    return TorchEncoder.load(minilm_path, scenario.SETTINGS.model)


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Whole, Spy]:
    """A domain that was run from files to champion, and what each step opened. The umask hides nothing of it."""
    before = os.umask(0)
    try:
        with spied() as spy:
            return finish_domain(tmp_path_factory.mktemp("finished")), spy
    finally:
        os.umask(before)


@pytest.fixture(scope="session")
def finished(first_run: tuple[Whole, Spy]) -> Whole:
    """A domain that was run from files to champion; tests must not change it."""
    return first_run[0]


@pytest.fixture
def whole(finished: Whole, tmp_path: Path) -> Whole:
    """A copy of the finished domain that a test may change."""
    return copy_of(finished, tmp_path / "home")
