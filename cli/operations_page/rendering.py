"""The JSON of a snapshot: each panel as HTML, and a banner with everything that needs attention."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.operations_page.panel import PanelState
from infra.measurements.html import render_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.operations_page.panel import PanelView

_TEMPLATES = Path(__file__).parent / "html"
MAX_BANNER_PROBLEMS = 12
"""Problems in the banner; the panels show all."""


def render(template: str, **values: object) -> str:
    """Render a template of the page; all text is escaped.

    Args:
        template: name of the template without its suffix.
        values: variables of the template.
    """
    return render_page(_TEMPLATES / f"{template}.html.j2", **values)


def snapshot_json(environment: str, views: Sequence[PanelView]) -> dict[str, Any]:
    """Return a snapshot as the page reads it.

    Args:
        environment: name of the environment.
        views: all panels, in the order of the page.
    """
    problems = [(view.panel, problem) for view in views for problem in _problems(view)]
    states = {view.state for view in views}
    not_deployed = [view.panel.title for view in views if view.state is PanelState.NOT_DEPLOYED]
    is_complete = PanelState.READING not in states
    sign = ("✗" if problems else "✓") if is_complete or problems else "…"
    return {
        "environment": environment,
        "title": f"{sign} {environment} · operations",
        "is_complete": is_complete,
        "banner": _banner(problems, not_deployed, is_complete=is_complete),
        "panels": [
            {
                "id": view.panel.id,
                "title": view.panel.title,
                "html": render("panel", view=view),
                "age_seconds": None if view.age_seconds is None else round(view.age_seconds),
            }
            for view in views
        ],
    }


def _problems(view: PanelView) -> list[str]:
    if view.state is PanelState.UNAVAILABLE:
        return [f"cannot be read: {view.reason}"]
    return list(view.content.problems)


def _banner(problems: list[Any], not_deployed: list[str], *, is_complete: bool) -> str:
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    if problems:
        shown = problems[:MAX_BANNER_PROBLEMS]
        summary = count if shown == problems else f"{count}, the first {MAX_BANNER_PROBLEMS} of them"
        return render("banner", style="error", sign="✗", summary=summary, problems=shown)
    if is_complete:
        unknown = f"; not shown: {', '.join(not_deployed)}" if not_deployed else ""
        return render("banner", style="ok", sign="✓", summary=f"no problems{unknown}", problems=[])
    return render("banner", style="unmeasured", sign="…", summary="reading", problems=[])
