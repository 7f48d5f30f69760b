"""The operations page in a real browser: light and dark, on a phone and on a wide screen, by keyboard."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import axe_core_python
import pytest

from cli.operations_page.page import build_app
from cli.operations_page.server import OperationsServer
from infra.errors import EsqError
from tests.sample_operations import TRACE_ID, healthy, sample_sources
from tests.servers.chromium import Chromium

pytestmark = pytest.mark.integration
SCREENSHOTS = "ESQ_TEST_SCREENSHOTS"
"""Folder for pictures of the page, to look at; none are taken without it."""
TIMEOUT_SECONDS = 60.0
_CHECKS = (Path(__file__).parents[1] / "reports/page_checks.js").read_text()
_AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text()
_RUN_AXE = """axe.run({exclude: [".charts details"]}, {resultTypes: ["violations"]}).then(result => result.violations.map(
  violation => `${violation.id}: ${violation.nodes.map(node => node.html).join(", ")}`))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium() as running:
        yield running


@pytest.fixture
def sources(tmp_path: Path) -> Any:
    return sample_sources(tmp_path)


@pytest.fixture
def server(sources: Any) -> Iterator[OperationsServer]:
    with OperationsServer(build_app(sources)) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield running
        running.shutdown()
        thread.join(TIMEOUT_SECONDS)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the page did not change in time"
        time.sleep(0.05)


def open_page(browser: Chromium, server: OperationsServer, width: int = 1280, scheme: str = "light") -> None:
    """Open the page by its link and wait until all panels are read."""
    browser.open("about:blank", width, scheme)
    browser.open(server.access.link, width, scheme)
    wait_for(lambda: "connected" in state(browser) and "reading…" not in text(browser, "#panels"))


def state(browser: Chromium) -> str:
    return str(browser.evaluate("document.body?.dataset.state ?? ''"))


def text(browser: Chromium, selector: str) -> str:
    return str(browser.evaluate(f"document.querySelector({selector!r})?.textContent ?? ''"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_page_is_readable_and_accessible(
    browser: Chromium, server: OperationsServer, scheme: str, width: int
) -> None:
    open_page(browser, server, width, scheme)
    origin = f"http://127.0.0.1:{server.server_port}/"
    requested = [event for event in browser.events() if event["method"] == "Network.requestWillBeSent"]
    urls = {event["params"]["request"]["url"] for event in requested}
    assert {url for url in urls if not url.startswith((origin, "data:"))} == set()
    assert not any(server.access.token in url.partition("#")[0] for url in urls)
    assert [event for event in browser.events() if event["method"] != "Network.requestWillBeSent"] == []
    if pictures := os.environ.get(SCREENSHOTS):
        browser.screenshot(Path(pictures) / f"operations-{scheme}-{width}.png")
    checks = browser.evaluate(_CHECKS)
    assert checks["texts"] > 100
    assert checks["page_width"] <= width
    assert checks["overflowing"] == []
    assert checks["low_contrast"] == []
    assert checks["unnamed"] == []
    assert checks["is_dark"] is (scheme == "dark")
    browser.evaluate(f"{_AXE}; undefined")
    assert browser.evaluate(_RUN_AXE) == []


def test_axe_finds_a_planted_fault(browser: Chromium, server: OperationsServer) -> None:
    open_page(browser, server)
    browser.evaluate("document.querySelector('main').append(document.createElement('button'))")
    browser.evaluate(f"{_AXE}; undefined")
    assert any(violation.startswith("button-name") for violation in browser.evaluate(_RUN_AXE))


def test_token_leaves_the_address_and_serves_a_reload(browser: Chromium, server: OperationsServer) -> None:
    open_page(browser, server)
    assert browser.evaluate("location.href") == f"http://127.0.0.1:{server.server_port}/"
    browser.evaluate("location.reload()")
    wait_for(lambda: "connected" in state(browser) and "node-zone-b" in text(browser, "#banner"))


def test_without_the_token_nothing_is_shown(browser: Chromium, server: OperationsServer) -> None:
    browser.open("about:blank", 1280, "light")
    browser.open(f"http://127.0.0.1:{server.server_port}/#token=wrong", 1280, "light")
    wait_for(lambda: state(browser) == "denied")
    assert "open the address that esq open printed" in text(browser, "#connection")
    assert text(browser, "#panels") == ""


def test_text_of_the_environment_is_not_run(browser: Chromium, server: OperationsServer) -> None:
    open_page(browser, server)
    assert browser.evaluate("document.querySelectorAll('main img, main script').length") == 0
    assert "<img src=x" in text(browser, "#panel-campaigns")


def test_update_keeps_focus_and_opened_details(
    browser: Chromium, server: OperationsServer, sources: Any
) -> None:
    open_page(browser, server)
    browser.evaluate("document.querySelector('#panel-slos details').open = true")
    browser.evaluate("document.querySelector('#panel-slos summary').focus()")
    sources.values["health"] = healthy()
    sources.values["slos"] = []
    wait_for(lambda: "node-zone-b is not ready" not in text(browser, "#panel-map"))
    assert browser.evaluate("document.activeElement.nodeName") == "SUMMARY"
    assert browser.evaluate("document.querySelector('#panel-slos details').open") is True


def test_unreadable_source_replaces_its_panel(
    browser: Chromium, server: OperationsServer, sources: Any
) -> None:
    open_page(browser, server)
    sources.values["health"] = EsqError("the API server does not answer")
    wait_for(lambda: "cannot be read" in text(browser, "#panel-map"))
    assert "node-zone-a" not in text(browser, "#panel-map")
    assert "the API server does not answer" in text(browser, "#banner")


def test_page_says_when_its_server_has_ended(browser: Chromium, sources: Any) -> None:
    with OperationsServer(build_app(sources)) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        open_page(browser, running)
        running.shutdown()
        thread.join(TIMEOUT_SECONDS)
    wait_for(lambda: state(browser) == "disconnected")
    assert "Everything below is of" in text(browser, "#connection")
    assert browser.evaluate("document.title") == "✗ not updated"


def test_narrow_screen_starts_with_the_newest_values_of_a_chart(
    browser: Chromium, server: OperationsServer
) -> None:
    open_page(browser, server, 360)
    left, total, width = browser.evaluate(
        """(() => { const chart = document.querySelector(".charts figure > .scroll");
        return [chart.scrollLeft, chart.scrollWidth, chart.clientWidth]; })()"""
    )
    assert total > width
    assert left >= total - width - 1


def test_runbook_opens_beside_the_panels(browser: Chromium, server: OperationsServer) -> None:
    open_page(browser, server)
    browser.evaluate("document.querySelector('#panel-alerts td a').focus()")
    browser.press("Enter", "\r")
    wait_for(lambda: "esq status local" in text(browser, "#view-content"))
    assert browser.evaluate("document.activeElement.id") == "view-heading"
    assert text(browser, "#view-heading") == "Runbook: postgres-down"
    browser.evaluate("location.hash = '#/runbook/nothing'")
    wait_for(lambda: "cannot be read: there is no runbook" in text(browser, "#view-content"))
    browser.evaluate("history.back()")
    wait_for(lambda: "esq status local" in text(browser, "#view-content"))


@pytest.mark.parametrize("width", [360, 1280])
def test_trace_and_its_log_lines_are_found_by_id(
    browser: Chromium, server: OperationsServer, width: int
) -> None:
    open_page(browser, server, width)
    browser.evaluate("document.getElementById('find-text').focus()")
    browser.call("Input.insertText", text=TRACE_ID)
    browser.press("Enter", "\r")
    wait_for(lambda: "INSERT campaigns" in text(browser, "#view-content"))
    if pictures := os.environ.get(SCREENSHOTS):
        browser.screenshot(Path(pictures) / f"trace-{width}.png")
    checks = browser.evaluate(_CHECKS)
    assert (checks["overflowing"], checks["low_contrast"], checks["unnamed"]) == ([], [], [])
    assert checks["page_width"] <= width
    browser.evaluate(f"{_AXE}; undefined")
    assert browser.evaluate(_RUN_AXE) == []
    browser.evaluate("document.querySelector('#view-content > p:last-child a').click()")
    wait_for(lambda: "campaign created" in text(browser, "#view-content"))
    assert "<img src=x" in text(browser, "#view-content")
    browser.evaluate(f"{_AXE}; undefined")
    assert browser.evaluate(_RUN_AXE) == []
    assert [event for event in browser.events() if event["method"] != "Network.requestWillBeSent"] == []


def test_everything_is_reachable_by_keyboard(browser: Chromium, server: OperationsServer) -> None:
    open_page(browser, server)
    focused = []
    for _ in range(120):
        browser.press("Tab")
        focused += filter(
            None,
            [
                browser.evaluate(
                    """(() => { const element = document.activeElement; const style = getComputedStyle(element);
                if (element === document.body) return null;
                return [element.id || element.getAttribute("aria-label") || element.textContent.trim(),
                        style.outlineStyle, element.getBoundingClientRect().left >= 0]; })()"""
                )
            ],
        )
    names = [name for name, _, _ in focused]
    assert names[0] == "Skip to the panels"
    for name in (
        "find-text",
        "Show trace",
        "Search logs",
        "Service map",
        "Service map by zone",
        "Job queues",
    ):
        assert name in names
    assert [name for name, outline, is_visible in focused if outline == "none" or not is_visible] == []
