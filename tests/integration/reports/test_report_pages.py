"""The pages of all reports in a real browser: light and dark, on a phone and on a wide screen."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from chaos.html_report import render_report
from loadtests.html_report import render_html
from tests import sample_audits
from tests.sample_reports import chaos_report, load_report, slo_page
from tests.servers.chromium import Chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration
SCREENSHOTS = "ESQ_TEST_SCREENSHOTS"
"""Folder for pictures of all pages, to look at; none are taken without it."""
PAGES: dict[str, Callable[[Path], str]] = {
    "load": lambda _: render_html(load_report(), load_report(commit="2395177")),
    "chaos": lambda _: render_report(chaos_report(), "# Zone outage\n\nSee `esq status ENV` <first>."),
    "slo": slo_page,
    "audit-sql": lambda _: sample_audits.sql_page(),
    "audit-deps": lambda _: sample_audits.deps_page(),
    "audit-baseline": lambda _: sample_audits.baseline_page(),
}
_CHECKS = (Path(__file__).parent / "page_checks.js").read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the rendered pages."""
    pages = tmp_path_factory.mktemp("pages")
    for name, render in PAGES.items():
        (pages / f"{name}.html").write_text(render(pages / "measurements"), encoding="utf-8")
    return pages


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_page_is_readable(browser: Chromium, folder: Path, name: str, scheme: str, width: int) -> None:
    page = folder / f"{name}.html"
    events = browser.open(page, width, scheme)
    requests = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in requests if not url.startswith("data:")] == [page.as_uri()]
    assert [event for event in events if event["method"] != "Network.requestWillBeSent"] == []
    if pictures := os.environ.get(SCREENSHOTS):
        browser.screenshot(Path(pictures) / f"{name}-{scheme}-{width}.png")
    checks = browser.evaluate(_CHECKS)
    assert checks["texts"] > 100
    assert checks["page_width"] <= width
    assert checks["overflowing"] == []
    assert checks["low_contrast"] == []
    assert checks["unnamed"] == []
    assert checks["is_dark"] is (scheme == "dark")


def test_checks_find_planted_faults(browser: Chromium, tmp_path: Path) -> None:
    page = tmp_path / "faulty.html"
    page.write_text(
        '<body style="background:#fff"><p style="color:#999">grey</p><svg role="img"><text fill="#ddd">a</text></svg>'
        '<div style="width:2000px">wide</div><img src="http://192.0.2.1/a.png"><script>undefined_name()</script>'
    )
    events = browser.open(page, 360, "light")
    assert {event["method"] for event in events} >= {"Network.requestWillBeSent", "Runtime.exceptionThrown"}
    assert any("192.0.2.1" in str(event) for event in events)
    checks = browser.evaluate(_CHECKS)
    assert checks["page_width"] > 360
    assert [text["text"] for text in checks["low_contrast"]] == ["grey", "a"]
    assert "svg" in checks["unnamed"]
    assert checks["is_dark"] is False


def test_browser_leaves_no_process(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>text</p>")
    with Chromium() as other:
        other.open(page, 360, "light")
        group = other.process_group
        assert members(group)
    deadline = time.monotonic() + 30
    while members(group):
        assert time.monotonic() < deadline, members(group)
        time.sleep(0.05)


def members(group: int) -> list[str]:
    """Return the running processes of a process group."""
    return [
        process.info["name"]
        for process in psutil.process_iter(["name", "status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE and group_of(process.pid) == group
    ]


def group_of(pid: int) -> int:
    """Return the process group of a process; 0 if it has ended."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
