"""Markdown pages for a terminal: prose is wrapped, code is not, so that commands can be copied."""

from __future__ import annotations

import re
import textwrap

_ITEM = re.compile(r"^(\s*)((?:[-*]|\d+\.) )?")
_LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
_FENCE = "```"
_CODE_INDENT = "    "


def wrap(text: str, width: int) -> str:
    """Return a page with its prose wrapped; blocks of code are indented and unchanged.

    Args:
        text: Markdown.
        width: columns of the terminal.
    """
    lines: list[str] = []
    is_code = False
    for line in text.splitlines():
        if line.startswith(_FENCE):
            is_code = not is_code
        elif is_code:
            lines.append(_CODE_INDENT + line)
        else:
            lines.extend(_wrap_line(_LINK.sub(_link_text, line), width))
    return "\n".join(lines) + "\n"


def _wrap_line(line: str, width: int) -> list[str]:
    if line.startswith("#"):
        return [line.lstrip("# ").upper() if line.startswith("## ") else line.lstrip("# ")]
    item = _ITEM.match(line)
    indent = " " * len(item[0]) if item else ""
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ) or [""]


def _link_text(match: re.Match[str]) -> str:
    """Return a link as its text, with the runbook that it leads to."""
    target = match[2].partition("#")[0]
    name = target.rpartition("/")[2].removesuffix(".md")
    return match[1] if match[1] == name else f"{match[1]} ({name})"
