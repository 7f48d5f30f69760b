"""`esq runbook triage`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.output import AsJson, Env  # noqa: TC001 - Typer reads annotations
from infra.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.actions.triage_scores import ExperimentScore
    from runbooks.check import Action
    from runbooks.triage import Cause, Diagnosis

app = output.command_group()

_MAX_SLUGS = 4
Scores = Annotated[
    bool,
    typer.Option(
        "--scores",
        help="Instead, show how well triage named the causes in the runs of experiments; exit code 99 below"
        " 90 %.",
    ),
]


@app.command()
def triage(env: Env, *, scores: Scores = False, json: AsJson = False) -> None:
    """Name the cause of what is broken now, its runbook, and the first safe action. Changes nothing.

    Exit code 1 when something is broken, or when it cannot be read whether users are served.
    """
    if scores:
        _show_scores(env, as_json=json)
        return
    from cli.actions.triage import triage as run  # noqa: PLC0415 - not needed for help
    from cli.environment import load_environment  # noqa: PLC0415 - same

    diagnosis = run(load_environment(env), output.progress_reporter(as_json=True))
    if json:
        output.print_json(diagnosis.to_dict())
    else:
        for line in describe(diagnosis):
            typer.echo(line)
    if diagnosis.causes or diagnosis.is_blind:
        raise typer.Exit(ExitCode.FAILED)


def describe(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield the lines of a diagnosis for people."""
    if diagnosis.is_blind:
        yield "? no cause is found, and it cannot be read whether users are served: see below"
    elif not diagnosis.causes:
        yield "✓ nothing is broken now" + (", and something was:" if diagnosis.recovered else "")
    for cause in diagnosis.causes:
        yield from _describe_cause("✗", cause)
    for cause in diagnosis.recovered:
        yield from _describe_cause("↻", cause)
    if diagnosis.is_unknown:
        yield "Only symptoms are known, and no check explains them."
    if diagnosis.runbook:
        yield f"runbook   esq runbook show {diagnosis.runbook} {diagnosis.environment}"
    if diagnosis.action:
        yield from _describe_action(diagnosis.action, diagnosis.environment)
    for reason, slugs in diagnosis.unread.items():
        yield f"? {reason}: cannot tell {_shortened(slugs)}"
    yield f"{diagnosis.seconds:.1f} s"


def _describe_cause(sign: str, cause: Cause) -> Iterator[str]:
    yield f"{sign} {cause.check} ({cause.severity.value}): {cause.finding.reason}"
    yield from (f"    {line}" for line in cause.finding.evidence if line != cause.finding.reason)
    if cause.symptoms:
        yield f"    explains {', '.join(cause.symptoms)}"


def _describe_action(action: Action, environment: str) -> Iterator[str]:
    yield f"action    {action.text(environment)}    # {action.risk}: {action.description}"
    if action.dry_run:
        yield f"dry run   {shlex.join(action.argv(environment, dry=True))}"


def _shortened(slugs: tuple[str, ...]) -> str:
    shown = ", ".join(slugs[:_MAX_SLUGS])
    rest = len(slugs) - _MAX_SLUGS
    return f"{shown} and {rest} more (see --json)" if rest > 0 else shown


def _show_scores(env: str, *, as_json: bool) -> None:
    from cli.actions.chaos import report_store  # noqa: PLC0415 - not needed for help
    from cli.actions.triage_scores import MIN_SCORE, experiment_scores, to_dict, total_score  # noqa: PLC0415 - same
    from cli.environment import load_environment  # noqa: PLC0415 - same

    scores = experiment_scores(report_store(load_environment(env)))
    total = total_score(scores)
    if as_json:
        output.print_json(to_dict(env, scores))
    elif total is None:
        typer.echo(f"no run of an experiment has a triage yet; to measure: esq chaos run {env} EXPERIMENT")
    else:
        _print_scores(scores)
        typer.echo(f"score {total:.0%} of {len(scores)} experiments")
    if total is not None and total < MIN_SCORE:
        raise typer.Exit(ExitCode.SLO_VIOLATED)


def _print_scores(scores: list[ExperimentScore]) -> None:
    table = output.table("experiment", "runs", "score", "cause\nafter", "action\nafter", "named")
    for entry in scores:
        table.add_row(
            entry.experiment,
            str(entry.runs),
            f"{entry.score:.0%}",
            _format_seconds(entry.diagnosed_after_seconds),
            _format_seconds(entry.action_after_seconds),
            ", ".join(entry.named) or "none",
        )
    output.print_table(table, wraps_last=True)


def _format_seconds(seconds: float | None) -> str:
    return "none" if seconds is None else f"{seconds:.1f} s"
