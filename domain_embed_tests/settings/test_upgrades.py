"""An upgrade retrains nobody by accident: versions and fingerprints are what an earlier version gave."""

import json
from typing import Annotated, Any

import pytest

from domain_embed.encoding.models import fingerprint, load_model
from domain_embed.settings import Added, Section, TrainingSettings
from domain_embed_tests.settings.held_domains import HELD, MODELS, held_domains, held_of

HELD_VERSIONS: dict[str, Any] = json.loads(HELD.read_text())


@pytest.mark.parametrize(
    ("name", "settings"), held_domains(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_no_asset_of_a_domain_becomes_stale(name: str, settings: Any) -> None:
    now, held = held_of(settings), HELD_VERSIONS["domains"][name]

    # Assets may be added; what is there keeps its version and what it reads, and so what was made of it.
    assert {asset: version for asset, version in now.items() if asset in held} == held


@pytest.mark.parametrize("name", MODELS)
def test_a_model_keeps_its_fingerprint(name: str, minilm_path: str) -> None:
    settings = MODELS[name]

    assert fingerprint(load_model(minilm_path, settings, device="cpu"), settings) == HELD_VERSIONS["models"][name]


class Inner(Section):
    size: int = 1
    later: Annotated[bool, Added(as_before=False)] = False


class Before(Section):
    epochs: int = 2
    inner: Inner = Inner()
    all: tuple[Inner, ...] = (Inner(),)


class After(Section):
    epochs: int = 2
    rate: Annotated[float | None, Added(as_before=None)] = None
    inner: Inner = Inner()
    all: tuple[Inner, ...] = (Inner(),)


class OtherDefault(Section):
    epochs: int = 3
    inner: Inner = Inner(size=2)
    all: tuple[Inner, ...] = (Inner(),)


class ChangesWhatIsMade(Section):
    epochs: int = 2
    rate: Annotated[float | None, Added(as_before=None)] = 0.5
    inner: Inner = Inner()
    all: tuple[Inner, ...] = (Inner(),)


def test_a_setting_that_keeps_what_held_before_changes_no_version() -> None:
    assert After().version() == Before().version()
    assert After(rate=0.1).version() != Before().version()
    assert After(inner=Inner(later=True)).version() != Before().version()
    assert After(all=(Inner(later=True),)).version() != Before().version()
    assert ChangesWhatIsMade().version() != Before().version()
    assert ChangesWhatIsMade(rate=None).version() == Before().version()


def test_what_has_changed_is_named_and_whether_somebody_changed_it() -> None:
    before = Before().content()

    assert After().changes(before) == []
    assert Before(epochs=3).changes(before) == ["epochs is 3, was 2"]
    assert OtherDefault().changes(before) == [
        "the default of epochs is now 3, was 2",
        "inner.size is 2, was 1",
    ]
    assert ChangesWhatIsMade().changes(before) == ["the default of rate is now 0.5"]
    assert After().changes(After(rate=0.1).content()) == [
        "the default of rate is now as it was before there was this setting, was 0.1"
    ]
    assert TrainingSettings(epochs=5).changes(TrainingSettings(epochs=2).content()) == ["epochs is 5, was 2"]


def test_patience_left_open_is_what_it_was_for_a_number_of_epochs_and_longer_for_auto() -> None:
    assert TrainingSettings(epochs=5).version() == TrainingSettings(epochs=5, patience=1).version()
    assert TrainingSettings().version() == TrainingSettings(epochs="auto", patience=2).version()
    assert TrainingSettings(max_minutes=30).version() != TrainingSettings().version()
    assert "max_minutes" not in TrainingSettings().content()
