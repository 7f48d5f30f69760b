"""What the page shows on demand: a runbook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import runbooks
from cli.operations_page.rendering import render
from infra.errors import UsageError
from infra.validation import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_RUNBOOKS = Path(runbooks.__file__).parent


class Views:
    """The views of a page, by name.

    Args:
        views: each returns the HTML for its argument; may raise an EsqError.
    """

    def __init__(self, views: Mapping[str, Callable[[str], str]]) -> None:
        self._views = views

    def view_json(self, name: str, argument: str) -> dict[str, Any]:
        """Return a view as the page reads it.

        Args:
            name: name of the view.
            argument: what it shows, e.g. the name of a runbook.

        Raises:
            UsageError: there is no such view.
            EsqError: its source cannot be read.
        """
        if name not in self._views:
            raise UsageError(f"there is no view `{name}`")
        return {"html": self._views[name](argument)}


def runbook_view(name: str) -> str:
    """Return the HTML of a runbook.

    Raises:
        UsageError: there is no such runbook.
    """
    names = sorted(path.stem for path in _RUNBOOKS.glob("*.md"))
    if name not in names:
        raise UsageError(f"there is no runbook `{name}`", remedy=suggest(name, names))
    return render("runbook", text=(_RUNBOOKS / f"{name}.md").read_text(encoding="utf-8"))
