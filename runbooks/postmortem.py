"""Draft of a postmortem in Markdown: everything that the records tell; a person writes the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runbooks.incident import Incident, TimelineEntry

_OPEN = "_To be written._"


def draft(incident: Incident, entries: Sequence[TimelineEntry], unread: Mapping[str, str]) -> str:
    """Return the draft.

    Args:
        incident: the incident.
        entries: what happened, in order.
        unread: by source, why it could not be read.
    """
    return "\n".join([*_head(incident), *_causes(incident), *_timeline(entries, unread), *_rest(incident)])


def _head(incident: Incident) -> Iterator[str]:
    yield f"# Postmortem: {incident.runbook}, {incident.started_at:%Y-%m-%d}"
    yield ""
    yield f"- Environment: {incident.environment}"
    yield f"- Incident: `{incident.id}` ({incident.state})"
    yield f"- Start: {incident.started_at:%Y-%m-%d %H:%M:%S} UTC"
    yield f"- End: {f'{incident.ended_at:%Y-%m-%d %H:%M:%S} UTC' if incident.ended_at else 'not known'}"
    if incident.ended_at:
        yield f"- Duration: {(incident.ended_at - incident.started_at).total_seconds() / 60:.0f} min"
    yield f"- Runbook: [{incident.runbook}](runbooks/{incident.runbook}.md)"
    yield from ("", "## Impact", "", incident.impact, "", _OPEN, "")


def _causes(incident: Incident) -> Iterator[str]:
    yield from ("## Cause", "")
    for cause in incident.causes:
        yield f"- `{cause['check']}`: {cause['reason']}"
        yield from (f"  - {line}" for line in cause.get("evidence", ()))
        symptoms = cause.get("symptoms") or {}
        if symptoms:
            yield f"  - explains {', '.join(symptoms)}"
    if not incident.causes:
        yield "No check named a cause."
    yield from ("", _OPEN, "")


def _timeline(entries: Sequence[TimelineEntry], unread: Mapping[str, str]) -> Iterator[str]:
    yield from ("## Timeline (UTC)", "")
    yield from (f"- {entry.at:%H:%M:%S} {entry.kind}: {_one_line(entry.text)}" for entry in entries)
    yield from (f"- not read: {source}: {reason}" for source, reason in unread.items())
    yield ""


def _rest(incident: Incident) -> Iterator[str]:
    yield from ("## Resolution", "")
    done = [step for step in (incident.run.steps if incident.run else ()) if step.state == "done"]
    yield from (f"- `{step.command}`: {step.description}" for step in done)
    if not done:
        yield "No action of a runbook is recorded."
    yield from ("", "## Detection", "", _OPEN, "")
    yield from ("## Lessons", "", _OPEN, "")
    yield from ("## Action items", "", f"- [ ] {_OPEN}", "")


def _one_line(text: str) -> str:
    """Return a text of others without line breaks and backquotes, which would change the document."""
    return " ".join(text.split()).replace("`", "'")
