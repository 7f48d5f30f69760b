"""Self-contained HTML pages: they load nothing from elsewhere, so they can be sent by mail."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render_page(template: Path, **values: object) -> str:
    """Render an HTML page; all text is escaped.

    Args:
        template: Jinja template that extends `base.html.j2`.
        values: variables of the template.

    Returns:
        The HTML text.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["format_number"] = format_number
    return environment.get_template(template.name).render(values)


def format_number(value: float | None) -> str:
    """Return a number as text: no decimals if it is whole, two below 10, else one; `-` for None."""
    if value is None:
        return "-"
    if value == int(value):
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"  # noqa: PLR2004 - see the docstring
