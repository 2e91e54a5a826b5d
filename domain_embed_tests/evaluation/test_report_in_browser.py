"""The report in a real browser: nothing is asked of the network, nothing overflows, and it can be read in the dark."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain_embed_tests.evaluation.scenario import large_report

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(large_report(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(params=[(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")],
                ids=["desktop-light", "desktop-dark", "phone-light", "phone-dark"])  # fmt: skip
def page(browser: Any, page_file: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The report, opened; what it asks for and complains about is kept in `requests` and `complaints`."""
    viewport, scheme = request.param
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    opened = context.new_page()
    opened.requests, opened.complaints = [], []
    opened.on("request", lambda asked: opened.requests.append(asked.url))
    opened.on("console", lambda message: opened.complaints.append(message.text))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.goto(page_file.as_uri())
    yield opened
    context.close()


def test_it_stands_alone_and_fits(page: Any, page_file: Path) -> None:
    assert page.requests == [page_file.as_uri()]
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    outside = page.evaluate(
        """() => [...document.querySelectorAll('main *')].filter(one => {
            if (one.closest('.scroll, .sr, svg, .x-labels, .y-labels')) return false;
            const box = one.getBoundingClientRect();
            return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1);
        }).map(one => one.tagName + '.' + one.className)"""
    )
    assert outside == []


def test_first_screen_is_the_decision_and_why(page: Any) -> None:
    height = page.viewport_size["height"]
    for selector in ("#decision", ".lead"):
        box = page.locator(selector).first.bounding_box()
        assert box["y"] + box["height"] <= height, f"{selector} ends below the first screen"


def test_text_stands_out_from_its_paper(page: Any) -> None:
    """WCAG 2 asks for a contrast of 4.5 for text of this size."""
    colours = page.evaluate(
        """() => ['--ink', '--muted', '--accent', '--gain', '--loss', '--paper'].map(name =>
            getComputedStyle(document.documentElement).getPropertyValue(name).trim())"""
    )
    paper = _luminance(colours.pop())
    for colour in colours:
        light, dark = sorted((_luminance(colour), paper), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, colour


def test_it_prints_on_paper(browser: Any, page_file: Path) -> None:
    """In light colours whatever the screen's, with nothing cut off behind a scroll bar."""
    context = browser.new_context(viewport={"width": 690, "height": 980}, color_scheme="dark")
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()") == "#1c1e21"
    assert page.pdf()[:5] == b"%PDF-"
    cut = page.evaluate(
        """() => [...document.querySelectorAll('.scroll')].filter(one =>
            one.firstElementChild.getBoundingClientRect().right > innerWidth + 1).map(one =>
            one.querySelector('caption').innerText)"""
    )
    assert cut == []
    context.close()


def _luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, as WCAG 2 defines it."""
    assert re.fullmatch("#[0-9a-f]{6}", colour)
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
