"""HTTP routes for operators: the queues of a process. The token needs a scope; its company is ignored.

`app.state.queues` maps names to queues. The client is `cli/actions/queue.py`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from services.kit.errors import NotFoundError
from services.kit.http.auth import require_scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.kit.queue.ports import Queue

READ, WRITE = "queues:read", "queues:write"
router = APIRouter(tags=["queues"])


class QueueUpdate(BaseModel):
    """Changes of the operator controls; an omitted control stays unchanged.

    Attributes:
        paused: whether no jobs are handed out to be run.
        draining: whether no new jobs are accepted.
        rate_limit: maximum number of jobs per second; 0 removes the limit.
    """

    paused: bool | None = None
    draining: bool | None = None
    rate_limit: float | None = Field(default=None, ge=0, le=1e6)


@dataclass(frozen=True)
class Queues:
    """The queues of the process, by name."""

    by_name: Mapping[str, Queue]

    def get(self, name: str) -> Queue:
        """Return a queue by name.

        Raises:
            NotFoundError: there is no such queue; the message lists the existing ones.
        """
        queue = self.by_name.get(name)
        if queue is None:
            raise NotFoundError(f"no queue {name[:64]!r}; existing queues: {', '.join(sorted(self.by_name))}")
        return queue


async def _queues(request: Request) -> Queues:
    return Queues(request.app.state.queues)


QueuesDependency = Annotated[Queues, Depends(_queues)]


@router.get("/queues", dependencies=[Depends(require_scope(READ))])
async def list_queues(queues: QueuesDependency) -> dict[str, list[dict[str, Any]]]:
    """Return the state of every queue."""
    return {"queues": [await _state(queue) for _, queue in sorted(queues.by_name.items())]}


@router.get("/queues/{name}", dependencies=[Depends(require_scope(READ))])
async def show_queue(name: str, queues: QueuesDependency) -> dict[str, Any]:
    """Return the state and the configuration of a queue."""
    queue = queues.get(name)
    return {**await _state(queue), "config": asdict(queue.config)}


@router.patch("/queues/{name}", dependencies=[Depends(require_scope(WRITE))])
async def update_queue(name: str, queues: QueuesDependency, update: QueueUpdate) -> dict[str, Any]:
    """Pause, resume, drain or rate-limit a queue."""
    queue = queues.get(name)
    controls = await queue.update_controls(
        paused=update.paused, draining=update.draining, rate_limit=update.rate_limit
    )
    return {"queue": str(queue.name), **asdict(controls)}


async def _state(queue: Queue) -> dict[str, Any]:
    stats = await queue.stats()
    return {"queue": str(queue.name), "depth": stats.depth, **asdict(stats)}
