"""The form of runbooks: everything that deviates from it is reported at once."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from infra.errors import ProblemsError, UsageError
from runbooks import page
from runbooks.page import SECTIONS, FrontMatter, Rehearsal
from runbooks.rehearsals import REHEARSED_BY, is_tolerated, rehearsal_problem, rehearsal_text

FRONT_MATTER = """\
---
alert: PostgresDown
severity: page
owner: data
slo: null
experiment: postgres-primary-frozen
rehearsed: {date: 2026-11-01, result: passed}
max_age_days: 30
---

"""
BODY = "# Postgres is down\n" + "".join(f"\n## {heading}\n\nText.\n" for heading in SECTIONS)


def messages(document: str) -> list[str]:
    with pytest.raises(ProblemsError) as error:
        page.parse("postgres-down", document)
    return [problem.message for problem in error.value.problems]


def test_page_of_the_form_is_parsed() -> None:
    runbook = page.parse("postgres-down", FRONT_MATTER + BODY)

    assert (runbook.name, runbook.title) == ("postgres-down", "Postgres is down")
    assert runbook.front_matter.rehearsed == Rehearsal(date=dt.date(2026, 11, 1), result="passed")
    assert list(runbook.sections) == list(SECTIONS)
    assert runbook.text == BODY


def test_all_problems_of_a_page_are_reported_at_once() -> None:
    front_matter = FRONT_MATTER.replace("severity: page", "severity: loud").replace("owner: data\n", "")
    body = BODY.replace("## Impact\n\nText.\n\n", "").replace("## Escalation\n\nText.", "## Escalation\n")
    reported = " ".join(messages(front_matter + body + "\n| a | {{ kubeconfig }} |\n"))

    for problem in (
        "Input should be 'page' or 'ticket' (found 'loud')",
        "is missing",
        "the sections are Automatic recovery",
        "the section is empty",
        "unknown placeholder `kubeconfig`",
        "the page has a table",
    ):
        assert problem in reported


def test_heading_within_a_block_of_code_is_no_section() -> None:
    body = BODY.replace("## Impact\n\nText.", "## Impact\n\n```sh\n## comment\n```")
    assert page.parse("postgres-down", FRONT_MATTER + body).sections["Impact"] == "```sh\n## comment\n```"


def test_page_without_or_with_invalid_front_matter_is_reported() -> None:
    assert "there is no front matter" in messages(BODY)
    assert messages("---\nalert: [\n---\n\n" + BODY)[0].startswith("the front matter is not YAML")


def test_placeholders_are_filled_and_unknown_text_stays() -> None:
    text = page.fill("esq status {{ env }}; {{kubectl}}; {{ $labels.zone }}", {"env": "prod", "kubectl": "k"})
    assert text == "esq status prod; k; {{ $labels.zone }}"


def test_unknown_runbook_names_the_closest() -> None:
    with pytest.raises(UsageError) as error:
        page.load("postgres-dwn")
    assert "`postgres-down`" in error.value.remedy


@pytest.mark.parametrize(
    ("rehearsed", "today", "problem", "tolerated", "text"),
    [
        (None, dt.date(2026, 12, 1), "was never rehearsed", True, "never"),
        (None, REHEARSED_BY, "was never rehearsed", False, "never"),
        (("passed", dt.date(2026, 11, 1)), dt.date(2026, 12, 1), "", False, "passed 2026-11-01"),
        (
            ("passed", dt.date(2026, 11, 1)),
            dt.date(2026, 12, 2),
            "is 31 days old, the limit is 30",
            False,
            "passed 2026-11-01, overdue",
        ),
        (("failed", dt.date(2026, 11, 1)), dt.date(2026, 11, 2), "failed", False, "failed 2026-11-01"),
    ],
)
def test_rehearsal_is_judged_by_its_result_and_age(
    rehearsed: tuple[str, dt.date] | None, today: dt.date, problem: str, tolerated: object, text: str
) -> None:
    fields = page.parse("postgres-down", FRONT_MATTER + BODY).front_matter.model_dump()
    fields["rehearsed"] = rehearsed and {"result": rehearsed[0], "date": rehearsed[1]}
    front_matter = FrontMatter.model_validate(fields)

    assert problem in rehearsal_problem(front_matter, today)
    assert bool(problem) == bool(rehearsal_problem(front_matter, today))
    assert is_tolerated(front_matter, today) == tolerated
    assert rehearsal_text(front_matter, today) == text


NAMED_REPLICA = re.compile(r"(delete pod|delete pvc|reinit postgres|rollout restart) \S*-\d\b")


@pytest.mark.parametrize("name", page.names())
def test_what_a_page_deletes_has_to_be_named_by_the_person(name: str) -> None:
    """A command that is pasted must not hit the healthy replica, e.g. the leader, that the page happens to name."""
    assert not NAMED_REPLICA.findall((page.RUNBOOKS_DIR / f"{name}.md").read_text(encoding="utf-8"))
