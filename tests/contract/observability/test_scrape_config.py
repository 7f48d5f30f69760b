"""VictoriaMetrics accepts the configuration of the scrapes, and keeps the metrics of the table only."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from infra.components.observability.scrape_config import render_scrape_config

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.contract


def test_scrape_configuration_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "scrape.yml"
    file.write_text(render_scrape_config())
    options = (f"-promscrape.config={file}", "-promscrape.config.strictParse", "-promscrape.config.dryRun")
    argv = ["victoria-metrics", *options, f"-storageDataPath={tmp_path / 'data'}"]
    result = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
