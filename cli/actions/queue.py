"""Queues as an operator sees them: asked of the platform's own addresses, since only services reach Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.edge import Edge
    from infra.progress import ProgressStep

OPERATORS = "operators"
"""Tokens name a company always; queues belong to none, and what counts is the scope."""
READ, WRITE = "queues:read", "queues:write"
LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Row:
    """A queue on one line.

    Attributes:
        queue: its name.
        waiting: jobs that could run, by priority.
        delayed: jobs whose time has not come.
        leased: jobs in the hands of workers.
        at_risk: jobs close to their deadline.
        oldest: age of the job that waits longest, in seconds.
        wait: seconds that a job of the lowest priority would wait.
        dead: dead letters.
        done_per_second: since the look before; None at the first.
        state: what an operator made of it.
    """

    queue: str
    waiting: tuple[int, ...]
    delayed: int
    leased: int
    at_risk: int
    oldest: float
    wait: float
    dead: int
    done_per_second: float | None
    state: str


def list_queues(edge: Edge) -> list[dict[str, Any]]:
    """Return the state of every queue."""
    found: list[dict[str, Any]] = edge.call("GET", "/queues", READ)["queues"]
    return found


def show(edge: Edge, name: str) -> dict[str, Any]:
    """Return the state of a queue with its rules and newest dead letters."""
    found: dict[str, Any] = edge.call("GET", f"/queues/{name}", READ)
    return found


def control(edge: Edge, name: str, **wanted: bool | float) -> dict[str, Any]:
    """Change what an operator may change: `paused`, `draining`, `limit`."""
    found: dict[str, Any] = edge.call("PATCH", f"/queues/{name}", WRITE, body=wanted)
    return found


def drain(edge: Edge, name: str, step: ProgressStep) -> None:
    """Let nothing new in, and follow until all that is in there has left.

    Raises:
        EsqError: it had not by the edge's deadline; it goes on draining.
    """
    control(edge, name, draining=True)
    while True:
        found = show(edge, name)
        left = found["depth"] + found["delayed"] + found["leased"]
        if not left:
            return
        step.set_status(f"{found['depth']} wait, {found['delayed']} are delayed, {found['leased']} under way")
        if edge.clock() > edge.deadline:
            raise EsqError(
                f"{left} jobs are still in {name}",
                location=name,
                remedy=f"Repeat the command to follow it further; `esq queue resume {name}` ends draining.",
            )
        edge.sleep(LOOK_SECONDS)


def looks(edge: Edge) -> Iterator[list[Row]]:
    """Yield the queues again and again, a second apart, with how fast they are worked on."""
    before: dict[str, int] = {}
    looked = edge.clock()
    while True:
        found = list_queues(edge)
        elapsed, looked = edge.clock() - looked, edge.clock()
        yield [row(each, before.get(each["queue"]), elapsed) for each in found]
        before = {each["queue"]: each["totals"]["done"] for each in found}
        edge.sleep(LOOK_SECONDS)


def row(found: dict[str, Any], done_before: int | None = None, elapsed: float = 0.0) -> Row:
    """Put a queue on one line."""
    done = found["totals"]["done"]
    known = done_before is not None and elapsed > 0
    return Row(
        queue=found["queue"],
        waiting=tuple(found["waiting"]),
        delayed=found["delayed"],
        leased=found["leased"],
        at_risk=found["at_risk"],
        oldest=found["oldest_seconds"],
        wait=max(found["wait_seconds"]),
        dead=found["dead"],
        # An emptied Redis counts from zero again.
        done_per_second=max(0, done - (done_before or 0)) / elapsed if known else None,
        state=_state(found["controls"]),
    )


def _state(controls: dict[str, Any]) -> str:
    words = [
        word for word, holds in (("paused", controls["paused"]), ("draining", controls["draining"])) if holds
    ]
    words += [f"at most {controls['limit']:g}/s"] if controls["limit"] else []
    return ", ".join(words) or "running"
