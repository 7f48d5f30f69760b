"""The form of a runbook: front matter in YAML, a title, then the same sections in the same order.

A tired person finds each answer at the same position of every page. `parse` reports everything that deviates
from the form at once.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations when the class is created
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.errors import Problem, ProblemsError, UsageError
from infra.validation import problems_of, suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RUNBOOKS_DIR = Path(__file__).parent
PROCEDURES_DIR = RUNBOOKS_DIR / "procedures"
README = "README"
SECTIONS = (
    "Impact",
    "Automatic recovery",
    "Diagnosis",
    "Mitigation",
    "Verification",
    "Escalation",
    "Data-loss risk",
    "Dashboards and queries",
)
"""Headings of every runbook, in their order."""
PLACEHOLDERS = ("env", "kubectl", "url")
"""Names that differ per environment; a page writes `{{ env }}`."""

_FORM = "See runbooks/README.md for the form."
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n+", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{\{\s*(\w*)\s*\}\}")
_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


class Rehearsal(BaseModel):
    """The last time that somebody caused the fault on purpose and followed the page.

    Attributes:
        date: day of the rehearsal.
        result: whether the page led to the recovery.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    date: dt.date
    result: Literal["passed", "failed"]


class FrontMatter(BaseModel):
    """Front matter of a runbook.

    Attributes:
        alert: name of its alert.
        severity: `page` wakes a person, `ticket` waits for working hours.
        owner: team that answers.
        slo: id of the SLO that the fault endangers; None for none.
        experiment: experiment that causes the fault; None where none can.
        rehearsed: the last rehearsal; None for never.
        max_age_days: age after which the rehearsal must be repeated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    alert: str
    severity: Literal["page", "ticket"]
    owner: str
    slo: str | None
    experiment: str | None
    rehearsed: Rehearsal | None
    max_age_days: int = Field(gt=0)


@dataclass(frozen=True)
class Runbook:
    """A page of the form.

    Attributes:
        name: file name without suffix, the slug of its alert.
        title: first heading.
        front_matter: what the page says about itself.
        text: everything after the front matter.
        sections: text by heading.
    """

    name: str
    title: str
    front_matter: FrontMatter
    text: str
    sections: Mapping[str, str]


def names(folder: Path = RUNBOOKS_DIR) -> list[str]:
    """Return the names of all runbooks of a folder."""
    return sorted(path.stem for path in folder.glob("*.md") if path.stem != README)


def procedures(folder: Path = PROCEDURES_DIR) -> list[str]:
    """Return the names of all procedures of a folder: pages that no alert leads to."""
    return sorted(path.stem for path in folder.glob("*.md"))


def load(name: str, folder: Path = RUNBOOKS_DIR) -> Runbook:
    """Read and validate a runbook.

    Args:
        name: file name without suffix.
        folder: folder of the runbooks.

    Raises:
        UsageError: there is no such runbook.
        ProblemsError: everything that deviates from the form.
    """
    if name not in names(folder):
        raise UsageError(
            f"there is no runbook `{name}`",
            location="NAME",
            remedy=f"{suggest(name, names(folder))}See `esq runbook list`.",
        )
    return parse(name, (folder / f"{name}.md").read_text(encoding="utf-8"))


def parse(name: str, document: str) -> Runbook:
    """Parse a runbook.

    Args:
        name: file name without suffix.
        document: content of the file.

    Raises:
        ProblemsError: everything that deviates from the form.
    """
    source = f"runbooks/{name}.md"
    front_matter, problems = _parse_front_matter(source, document)
    text = _FRONT_MATTER.sub("", document)
    sections = _sections(text)
    problems += _form_problems(source, text, sections)
    if problems or front_matter is None:
        raise ProblemsError(f"{source} deviates from the form of a runbook", problems)
    title = text.partition("\n")[0].removeprefix("# ").strip()
    return Runbook(name, title, front_matter, text, dict(sections))


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace the placeholders of a page.

    Args:
        text: text with placeholders.
        values: value by placeholder.
    """
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def _parse_front_matter(source: str, document: str) -> tuple[FrontMatter | None, list[Problem]]:
    block = _FRONT_MATTER.match(document)
    if block is None:
        return None, [Problem("there is no front matter", source, _FORM)]
    try:
        fields: Any = yaml.safe_load(block[1])
        return FrontMatter.model_validate(fields), []
    except yaml.YAMLError as error:
        return None, [Problem(f"the front matter is not YAML: {error}", source, _FORM)]
    except ValidationError as error:
        return None, problems_of(error, source=source, remedy=_FORM)


def _sections(text: str) -> list[tuple[str, str]]:
    """Return heading and text of each section; a line of code is no heading."""
    masked = _FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    starts = [*re.finditer(r"^## (.*)\n", masked, re.MULTILINE)]
    ends = [match.start() for match in starts] + [len(text)]
    return [
        (match[1].strip(), text[match.end() : end].strip())
        for match, end in zip(starts, ends[1:], strict=True)
    ]


def _form_problems(source: str, text: str, sections: list[tuple[str, str]]) -> Iterator[Problem]:
    if not text.startswith("# "):
        yield Problem("the page does not start with a title", source, _FORM)
    headings = [heading for heading, _ in sections]
    if headings != list(SECTIONS):
        expected = ", ".join(SECTIONS)
        yield Problem(f"the sections are {', '.join(headings) or 'missing'}", source, f"Use: {expected}.")
    for heading, content in sections:
        if not content:
            yield Problem("the section is empty", f"{source}: {heading}", _FORM)
    for placeholder in sorted(set(_PLACEHOLDER.findall(text)) - set(PLACEHOLDERS)):
        known = ", ".join(PLACEHOLDERS)
        yield Problem(f"unknown placeholder `{placeholder}`", source, f"The placeholders are {known}.")
    if re.search(r"^\|", _FENCE.sub("", text), re.MULTILINE):
        yield Problem("the page has a table, which no terminal of 80 columns shows", source, "Use a list.")
