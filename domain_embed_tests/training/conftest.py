"""What trainings start from: made once, since it takes longer than most of them."""

import pytest

from domain_embed_tests.training.scenario import Inputs, make_inputs


@pytest.fixture(scope="session")
def inputs(minilm_path: str, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """The scenario's pairs and validation set."""
    return make_inputs(minilm_path, tmp_path_factory.mktemp("inputs"))
