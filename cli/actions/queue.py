"""Job queues, for operators. Read through the platform's HTTP API, since only services can reach Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.platform_client import PlatformClient
    from infra.progress import ProgressStep

OPERATOR_TENANT = "operators"
"""Every token names a company. Queues belong to none; only the scope is checked."""
READ, WRITE = "queues:read", "queues:write"
POLL_INTERVAL_SECONDS = 1.0


@dataclass(frozen=True)
class QueueRow:
    """State of a queue as a table row.

    Attributes:
        queue: name of the queue.
        ready: jobs that can run, by priority.
        delayed: jobs whose start time has not come.
        leased: jobs held by consumers.
        near_deadline: ready jobs close to their deadline.
        oldest_age: time since the oldest ready job became ready, seconds.
        estimated_wait: estimated wait of a job of the lowest priority, seconds.
        done_per_second: completed jobs per second since the previous poll; None at the first one.
        state: operator controls as text.
    """

    queue: str
    ready: tuple[int, ...]
    delayed: int
    leased: int
    near_deadline: int
    oldest_age: float
    estimated_wait: float
    done_per_second: float | None
    state: str


def list_queues(client: PlatformClient) -> list[dict[str, Any]]:
    """Return the state of every queue."""
    queues: list[dict[str, Any]] = client.call("GET", "/queues", READ)["queues"]
    return queues


def show_queue(client: PlatformClient, name: str) -> dict[str, Any]:
    """Return the state and the configuration of a queue.

    Args:
        client: client of the platform API.
        name: name of the queue.
    """
    queue: dict[str, Any] = client.call("GET", f"/queues/{name}", READ)
    return queue


def update_queue(client: PlatformClient, name: str, **controls: bool | float) -> dict[str, Any]:
    """Change operator controls of a queue.

    Args:
        client: client of the platform API.
        name: name of the queue.
        controls: new values of any of `paused`, `draining` and `rate_limit`.

    Returns:
        All controls.
    """
    updated: dict[str, Any] = client.call("PATCH", f"/queues/{name}", WRITE, body=controls)
    return updated


def drain_queue(client: PlatformClient, name: str, environment: str, step: ProgressStep) -> None:
    """Reject new jobs and wait until the queue is empty.

    Args:
        client: client of the platform API; its deadline is the timeout.
        name: name of the queue.
        environment: name of the environment, for the remedy.
        step: progress step.

    Raises:
        EsqError: the queue is not empty at the deadline; it continues to drain.
    """
    update_queue(client, name, draining=True)
    while True:
        queue = show_queue(client, name)
        remaining = queue["depth"] + queue["delayed"] + queue["leased"]
        if not remaining:
            return
        step.set_status(f"{queue['depth']} ready, {queue['delayed']} delayed, {queue['leased']} leased")
        if client.clock() > client.deadline:
            raise EsqError(
                f"{remaining} jobs remain in {name}",
                location=name,
                remedy=f"Repeat the command to wait longer; `esq queue resume {environment} {name}` "
                "stops draining.",
            )
        client.sleep(POLL_INTERVAL_SECONDS)


def poll(client: PlatformClient) -> Iterator[list[QueueRow]]:
    """Yield the state of all queues once per second, with their throughput."""
    done_before: dict[str, int] = {}
    polled_at = client.clock()
    while True:
        queues = list_queues(client)
        elapsed, polled_at = client.clock() - polled_at, client.clock()
        yield [queue_row(queue, done_before.get(queue["queue"]), elapsed) for queue in queues]
        done_before = {queue["queue"]: queue["totals"]["done"] for queue in queues}
        client.sleep(POLL_INTERVAL_SECONDS)


def queue_row(queue: dict[str, Any], done_before: int | None = None, elapsed: float = 0.0) -> QueueRow:
    """Return the table row of a queue.

    Args:
        queue: state of the queue.
        done_before: completed jobs at the previous poll; None if there was none.
        elapsed: seconds since the previous poll.
    """
    done = queue["totals"]["done"]
    has_previous = done_before is not None and elapsed > 0
    return QueueRow(
        queue=queue["queue"],
        ready=tuple(queue["ready"]),
        delayed=queue["delayed"],
        leased=queue["leased"],
        near_deadline=queue["near_deadline"],
        oldest_age=queue["oldest_age_seconds"],
        estimated_wait=max(queue["estimated_wait_seconds"]),
        # A flushed Redis restarts its counters at zero.
        done_per_second=max(0, done - (done_before or 0)) / elapsed if has_previous else None,
        state=_state(queue["controls"]),
    )


def _state(controls: dict[str, Any]) -> str:
    states = [name for name in ("paused", "draining") if controls[name]]
    states += [f"at most {controls['rate_limit']:g}/s"] if controls["rate_limit"] else []
    return ", ".join(states) or "running"
