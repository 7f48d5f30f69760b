"""What a Markdown page refers to: commands, queries, links and anchors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

QUERY_LANGUAGES = ("promql", "logsql")
"""Languages of code blocks that hold queries: MetricsQL and LogsQL."""
_PROGRAMS = ("esq", "./esq", "kubectl")

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(#[^)\s]*)?\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Link:
    """A relative link.

    Attributes:
        target: path relative to the page; empty for the page itself.
        anchor: heading of the target; empty for none.
    """

    target: str
    anchor: str


def commands(text: str) -> list[str]:
    """Return all command lines of our programs and kubectl, in blocks of `sh` and between backquotes."""
    lines = [line for body in _blocks(text, "sh") for line in body.splitlines()]
    lines += _INLINE.findall(_BLOCK.sub("", text))
    programs = [line.strip() for line in lines if line.strip().startswith(tuple(f"{p} " for p in _PROGRAMS))]
    return list(dict.fromkeys(programs))


def queries(text: str, language: str) -> list[str]:
    """Return the queries of a page, one per line of its code blocks.

    Args:
        text: text of the page.
        language: one of `QUERY_LANGUAGES`.
    """
    lines = [line.strip() for body in _blocks(text, language) for line in body.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def links(text: str) -> list[Link]:
    """Return the relative links of a page."""
    return [Link(target, anchor.removeprefix("#")) for target, anchor in _LINK.findall(_BLOCK.sub("", text))]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub builds them."""
    headings = _HEADING.findall(_BLOCK.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[Link]:
    """Return the links of a page whose file or heading does not exist."""
    return [link for link in links(page.read_text(encoding="utf-8")) if not _resolves(page, link)]


def _resolves(page: Path, link: Link) -> bool:
    target = page.parent / link.target if link.target else page
    if not target.exists():
        return False
    return not link.anchor or link.anchor in anchors(target.read_text(encoding="utf-8"))


def _blocks(text: str, language: str) -> list[str]:
    return [body for name, body in _BLOCK.findall(text) if name == language]
