"""Servers behind the gate, each started once: `domain-embed ui` over a small domain, and small ones of the tests'."""

from collections.abc import Iterator

import psutil
import pytest

from domain_embed.servers.listening import Access
from domain_embed_tests.scenario import DOMAIN, SETTINGS, write_domain
from domain_embed_tests.servers.small import NAMED, TOKEN, Gated, running
from domain_embed_tests.ui.dagster_ui import DagsterUi, processes, serve_dagster


@pytest.fixture(scope="session")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterUi]:
    home = tmp_path_factory.mktemp("home")
    automation = SETTINGS.automation.model_copy(update={"keep_data_current": False, "retrain_schedule": None})
    write_domain(home / DOMAIN, SETTINGS.model_copy(update={"automation": automation}))
    with serve_dagster(home) as served:
        yield served
        started = processes(served)
    left = [one for one in started if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert not left, "Ctrl-C has not ended all"


@pytest.fixture(scope="session")
def opened() -> Iterator[Gated]:
    """Asks for no token."""
    with running(Access.read(NAMED, variables={})) as server:
        yield server


@pytest.fixture(scope="session")
def closed() -> Iterator[Gated]:
    """Asks for a token."""
    with running(Access.read(NAMED, variables={"DOMAIN_EMBED_UI_TOKEN": TOKEN})) as server:
        yield server
