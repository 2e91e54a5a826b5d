"""A person's way through Dagster's interface, in headless Chromium against real servers, with pictures of each step."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from domain_embed_tests.scenario import DOMAIN, SETTINGS, write_domain
from domain_embed_tests.ui.dagster_ui import CHROMIUM, FLAGS, DagsterUi, serve_dagster
from domain_embed_tests.whole import EVERYTHING, Whole

playwright = pytest.importorskip("playwright.sync_api", reason="needs the playwright package")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A small domain that nothing was made of, and that does nothing by itself."""
    whole = Whole(tmp_path_factory.mktemp("ui"))
    automation = SETTINGS.automation.model_copy(update={"keep_data_current": False, "retrain_schedule": None})
    training = SETTINGS.training.model_copy(update={"epochs": 1})
    write_domain(whole.folder, SETTINGS.model_copy(update={"automation": automation, "training": training}))
    return whole


@pytest.fixture(scope="module")
def ui(home: Whole) -> Iterator[DagsterUi]:
    with serve_dagster(home.home) as running:
        yield running


@pytest.fixture
def page(ui: DagsterUi) -> Iterator["playwright.Page"]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 2400, "height": 1800})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures go: DOMAIN_EMBED_PICTURES, to be kept, or a folder that pytest removes."""
    folder = Path(os.environ.get("DOMAIN_EMBED_PICTURES") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_a_domain_from_files_to_champion_by_clicks(
    home: Whole, ui: DagsterUi, page: "playwright.Page", pictures: Path
) -> None:
    page.goto(ui.lineage(DOMAIN), wait_until="domcontentloaded")
    page.get_by_role("button", name="Materialize all").click()
    page.get_by_text("Launched run").wait_for()
    (run,) = ui.wait_for_runs(1)
    assert run["status"] == "SUCCESS"
    assert run["tags"]["domain"] == DOMAIN
    assert home.plan().stale == ()
    assert ui.stale() == {}, "Dagster calls something stale right after everything was made"

    page.goto(ui.lineage(DOMAIN), wait_until="domcontentloaded")
    for asset in ("corpus_files", "checkpoint", "champion"):
        page.locator("foreignObject").get_by_text(asset, exact=True).wait_for()
    time.sleep(3)  # the graph is drawn with an animation
    page.screenshot(path=pictures / "lineage.png")
    area = page.viewport_size
    for asset in ("corpus_files", *EVERYTHING):
        box = page.locator("foreignObject").get_by_text(asset, exact=True).bounding_box()
        assert box is not None
        assert box["x"] > 300, f"{asset} is cut at the left"
        assert box["x"] + box["width"] < area["width"]

    _edit_training(home)
    page.get_by_role("button", name="Reload definitions").click()
    page.get_by_text("Definitions reloaded").wait_for()
    assert ui.stale() == {"checkpoint": ["has a new code version"]}
    page.goto(f"{ui.url}/assets/{DOMAIN}/checkpoint", wait_until="domcontentloaded")
    page.get_by_text("Unsynced").first.hover()
    page.get_by_text("code version").first.wait_for()
    time.sleep(1)  # it fades in
    page.screenshot(path=pictures / "stale.png")

    page.goto(f"{ui.url}/assets/{DOMAIN}/hard_negatives", wait_until="domcontentloaded")
    page.get_by_role("button", name="Materialize").first.click(modifiers=["Shift"])
    page.get_by_text("Launchpad (configure assets)").wait_for()
    page.get_by_text("max_relative_score: 0.95").wait_for()
    page.screenshot(path=pictures / "launchpad.png")
    changed = page.evaluate("document.querySelector('.CodeMirror').CodeMirror.getValue()").replace("seed: 0", "seed: 5")
    page.evaluate("text => document.querySelector('.CodeMirror').CodeMirror.setValue(text)", changed)
    page.get_by_role("button", name="Materialize").last.click()
    assert [run["status"] for run in ui.wait_for_runs(2)] == ["SUCCESS", "SUCCESS"]
    assert home.plan().statuses["hard_negatives"].causes == ("mining: settings changed (seed is 0, was 5)",)

    page.goto(f"{ui.url}/assets/{DOMAIN}/eval_report", wait_until="domcontentloaded")
    page.get_by_text("report.html").first.wait_for()
    page.screenshot(path=pictures / "eval_report.png")
    report = home.workspace.latest_report()["html"]
    assert report in page.content()
    page.goto(f"file://{report}")
    page.get_by_text("nDCG@10").first.wait_for()
    page.screenshot(path=pictures / "report.png")

    page.goto(f"{ui.url}/automation", wait_until="domcontentloaded")
    page.get_by_text(f"{DOMAIN}_sources").wait_for()
    page.screenshot(path=pictures / "automation.png")


def _edit_training(home: Whole) -> None:
    path = home.folder / "domain.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["training"]["learning_rate"] = 3e-4
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
