"""Documents are true: their links resolve, and the files that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.project.source_files import PACKAGES, PROJECT

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "runbooks/**/*.md", "benchmarks/**/*.md")
    for path in PROJECT.glob(pattern)
    if "node_modules" not in path.parts
)
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")
_FILE = re.compile(rf"`((?:{'|'.join((*PACKAGES, 'docs', 'locks'))})/[\w./-]+\.\w+)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_links_and_named_files_exist(document: Path) -> None:
    text = document.read_text()
    links = [target for target in _LINK.findall(text) if not (document.parent / target).exists()]
    files = [name for name in _FILE.findall(text) if not (PROJECT / name).exists()]

    assert links + files == []


def test_index_lists_every_decision() -> None:
    index = (PROJECT / "docs/adr/README.md").read_text()
    decisions = sorted((PROJECT / "docs/adr").glob("0*.md"))

    assert [path.name for path in decisions if f"({path.name})" not in index] == []
    for path in decisions:
        assert path.read_text().startswith(f"# {int(path.name[:4])}. ")
