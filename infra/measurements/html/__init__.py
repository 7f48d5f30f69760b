"""Self-contained HTML pages: they load nothing from elsewhere, so they can be sent by mail."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from infra.measurements.run_values import RunValue

_SIGNS = {
    **dict.fromkeys(("met", "valid", "succeeded"), "✓"),
    **dict.fromkeys(("missed", "insufficient", "not run"), "!"),
    **dict.fromkeys(("violated", "invalid", "aborted", "crashed", "failed"), "✗"),
    "unmeasured": "-",
}
"""Sign beside each status, so that none is told by its colour only."""


STYLE = Path(__file__).with_name("style.css")
"""The look of all pages."""


def render_page(template: Path, **values: object) -> str:
    """Render an HTML page; all text is escaped.

    Args:
        template: Jinja template that extends `base.html.j2`.
        values: variables of the template.

    Returns:
        The HTML text.
    """
    return _environment(template.parent).get_template(template.name).render(values)


@cache
def _environment(folder: Path) -> Environment:
    """Return the environment of the templates in a folder; it keeps them compiled."""
    environment = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "format_number": format_number,
        "format_milliseconds": format_milliseconds,
        "format_percent": format_percent,
        "format_tick": format_tick,
        "format_value": format_value,
        "sign": lambda status: _SIGNS.get(status, ""),
    }
    return environment


def format_number(value: float | RunValue | None) -> str:
    """Return a number as text: no decimals if it is whole, two below 10, else one.

    `≥` marks a lower bound, `-` an absent value.
    """
    if isinstance(value, RunValue):
        number = format_number(value.value)
        return f"≥ {number}" if value.censored and value.value is not None else number
    if value is None:
        return "-"
    if value == int(value):
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"  # noqa: PLR2004 - see the docstring


def format_milliseconds(seconds: float | None) -> str:
    """Return whole milliseconds with their unit; `-` for None."""
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"


def format_percent(ratio: float | None) -> str:
    """Return a ratio as a percentage; `-` for None."""
    return "-" if ratio is None else f"{format_number(100 * ratio)} %"


def format_tick(value: float) -> str:
    """Return the value of a tick without trailing zeros, e.g. `0.001`, `2500`."""
    return f"{value:.6g}"


def format_value(value: float | None) -> str:
    """Return a value of a chart with three digits after the point; `-` for None, no digits if it is whole."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value == int(value) else f"{value:.3f}"
