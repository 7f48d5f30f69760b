"""`docs/alerts.md` is what the table of alerts says."""

from __future__ import annotations

from pathlib import Path

from infra.alerts.document import DOCUMENT, render_document

PROJECT = Path(__file__).parents[3]


def test_document_is_generated_from_the_table() -> None:
    committed = (PROJECT / DOCUMENT).read_text(encoding="utf-8")
    assert committed == render_document(), "run `./esq generate`"
