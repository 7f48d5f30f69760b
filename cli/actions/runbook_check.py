"""`esq runbook check`: whether every alert has a true runbook, and every runbook an alert."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from chaos import experiment
from cli.actions.runbook_operators import pasteable
from cli.actions.runbook_pages import UNFILLED
from cli.documented_commands import command_problems
from infra.alerts.catalog import ALERT_BY_SLUG, ALERTS
from infra.alerts.lint import KNOWN_METRICS, find_problems, metrics_of
from infra.errors import Problem, ProblemsError
from infra.validation import suggest
from runbooks import checks, page, references
from runbooks.rehearsals import is_tolerated, rehearsal_problem
from services.contracts.slo import SLO_BY_ID

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator
    from pathlib import Path

    from runbooks.page import Runbook

_CATALOG = "infra/alerts/catalog.py"


@dataclass(frozen=True)
class RunbookReport:
    """Result of the check.

    Attributes:
        alerts: number of alerts.
        runbooks: number of runbooks.
        problems: what must be repaired.
        warnings: runbooks that were never rehearsed.
    """

    alerts: int
    runbooks: int
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def check_runbooks(folder: Path, today: dt.date) -> RunbookReport:
    """Check all runbooks and procedures of a folder.

    Args:
        folder: folder of the runbooks.
        today: the current day (UTC).
    """
    names = page.names(folder)
    problems = [*find_problems(ALERTS, experiment.names()), *_missing(names), *_step_problems()]
    runbooks: list[Runbook] = []
    for name in names:
        try:
            runbooks.append(page.load(name, folder))
        except ProblemsError as error:
            problems += error.problems
    for runbook in runbooks:
        problems += _catalog_problems(runbook)
    for file in sorted(folder.rglob("*.md")):
        problems += _reference_problems(file, str(file.relative_to(folder.parent)))
    rehearsals = [(runbook, rehearsal_problem(runbook.front_matter, today)) for runbook in runbooks]
    warnings: list[Problem] = []
    for runbook, message in rehearsals:
        if message:
            tolerated = is_tolerated(runbook.front_matter, today)
            (warnings if tolerated else problems).append(_rehearsal(runbook, message))
    return RunbookReport(len(ALERT_BY_SLUG), len(names), tuple(problems), tuple(warnings))


def _missing(names: list[str]) -> Iterator[Problem]:
    for slug, alert in ALERT_BY_SLUG.items():
        if slug not in names:
            yield Problem(f"the alert `{alert.name}` has no runbook", _CATALOG, f"Write runbooks/{slug}.md.")
    for name in names:
        if name not in ALERT_BY_SLUG:
            remedy = f"{suggest(name, ALERT_BY_SLUG)}Rename it, or move it to runbooks/procedures/."
            yield Problem("no alert has this runbook", f"runbooks/{name}.md", remedy)


def _step_problems() -> Iterator[Problem]:
    """Yield alerts whose runbook cannot run, and actions whose commands do not parse."""
    for slug, alert in ALERT_BY_SLUG.items():
        if slug not in checks.slugs():
            remedy = f"Write runbooks/checks/{slug.replace('-', '_')}.py."
            yield Problem(f"the runbook of `{alert.name}` has no steps", _CATALOG, remedy)
    for slug in checks.slugs():
        for action in (step.action for step in checks.find_steps(slug) if step.action):
            for dry in (False, True) if action.dry_run else (False,):
                line = pasteable(shlex.join(action.argv("ENV", dry=dry)), UNFILLED["kubectl"])
                for message in command_problems(line):
                    yield Problem(message, f"runbooks/checks: {slug}: {line}", "Write a command that exists.")


def _catalog_problems(runbook: Runbook) -> Iterator[Problem]:
    """Yield front matter that differs from the table of alerts, and names that do not exist."""
    fields, source = runbook.front_matter, f"runbooks/{runbook.name}.md"
    for field, value in _expected_fields(runbook.name).items():
        if (written := getattr(fields, field)) != value:
            yield Problem(
                f"`{written or 'null'}` differs from the alert's `{value or 'null'}`",
                f"{source}: {field}",
                f"Write `{field}: {value or 'null'}`, or change {_CATALOG}.",
            )
    if fields.experiment is not None and fields.experiment not in experiment.names():
        remedy = f"{suggest(fields.experiment, experiment.names())}See `esq chaos list`."
        yield Problem(f"there is no experiment `{fields.experiment}`", f"{source}: experiment", remedy)
    if fields.slo is not None and fields.slo not in SLO_BY_ID:
        yield Problem(f"there is no SLO `{fields.slo}`", f"{source}: slo", suggest(fields.slo, SLO_BY_ID))


def _expected_fields(slug: str) -> dict[str, str | None]:
    """Return the front matter that the table of alerts implies; nothing for a page without alert."""
    alert = ALERT_BY_SLUG.get(slug)
    if alert is None:
        return {}
    return {
        "alert": alert.name,
        "severity": alert.severity.value,
        "owner": alert.owner.value,
        "slo": alert.slo,
        "experiment": alert.experiment,
    }


def _reference_problems(file: Path, source: str) -> Iterator[Problem]:
    """Yield dead links, commands that do not parse and metrics that are not scraped."""
    for link in references.dead_links(file):
        target = f"{link.target}#{link.anchor}" if link.anchor else link.target
        yield Problem(f"the link to `{target}` is dead", source, "Write the path of a file, or its heading.")
    text = page.fill(file.read_text(encoding="utf-8"), UNFILLED)
    for line in references.commands(text):
        for message in command_problems(line):
            yield Problem(message, f"{source}: {line}", "Write a command that exists.")
    for query in references.queries(text, "promql"):
        for metric in sorted(metrics_of(query) - KNOWN_METRICS):
            remedy = f"{suggest(metric, KNOWN_METRICS)}Export and scrape it, or use another one."
            yield Problem(f"the metric `{metric}` is not scraped", f"{source}: {query}", remedy)


def _rehearsal(runbook: Runbook, message: str) -> Problem:
    experiment_name = runbook.front_matter.experiment
    remedy = (
        f"Run `esq chaos run ENV {experiment_name}` and follow the page."
        if experiment_name
        else "Cause the fault by hand, in an environment for tests, and follow the page."
    )
    return Problem(message, f"runbooks/{runbook.name}.md: rehearsed", remedy)
