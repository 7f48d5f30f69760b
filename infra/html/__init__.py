"""Pages that need nothing but themselves: nothing is loaded from anywhere, so that they can be mailed."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def page(template: Path, **values: object) -> str:
    """Return the page that `template` (a child of `base.html.j2`) makes of `values`; all text is escaped."""
    environment = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = figure
    return environment.get_template(template.name).render(values)


def figure(value: float | None) -> str:
    """Return a number as people write it: whole when it is, else with one decimal, two below ten."""
    if value is None:
        return "-"
    if value == int(value):
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"  # noqa: PLR2004 - said in the docstring
