"""Addresses for operators: a process's queues. The token's scope lets in; its company does not matter.

`app.state.queues` names them; see `cli/actions/queue.py` for who asks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from services.kit.auth import allowed
from services.kit.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.kit.queue.port import Queue

READ, WRITE = "queues:read", "queues:write"
router = APIRouter(tags=["queues"])
Most = Annotated[int, Query(ge=0, le=1000)]


class Wanted(BaseModel):
    """What an operator changes; what is left out stays.

    Attributes:
        paused: nothing is handed out to be run.
        draining: nothing new is taken.
        limit: jobs per second at most; 0 takes the limit away.
    """

    paused: bool | None = None
    draining: bool | None = None
    limit: float | None = Field(default=None, ge=0, le=1e6)


@dataclass(frozen=True)
class Queues:
    """The queues of the process, by name."""

    by_name: Mapping[str, Queue]

    def find(self, name: str) -> Queue:
        """Return the queue of that name.

        Raises:
            NotFoundError: there is none; says which there are.
        """
        queue = self.by_name.get(name)
        if queue is None:
            raise NotFoundError(
                f"no queue is called {name[:64]!r}; there are {', '.join(sorted(self.by_name))}"
            )
        return queue


async def _known(request: Request) -> Queues:
    return Queues(request.app.state.queues)


Known = Annotated[Queues, Depends(_known)]


@router.get("/queues", dependencies=[Depends(allowed(READ))])
async def list_queues(queues: Known) -> dict[str, list[dict[str, Any]]]:
    """Return the state of every queue."""
    return {"queues": [await _state(queue) for _, queue in sorted(queues.by_name.items())]}


@router.get("/queues/{name}", dependencies=[Depends(allowed(READ))])
async def show_queue(name: str, queues: Known, letters: Most = 20) -> dict[str, Any]:
    """Return the state of a queue, how it behaves, and its newest dead letters without their payloads."""
    queue = queues.find(name)
    dead = [
        {"id": str(each.id), "attempts": each.attempts, "reason": each.reason, "at": each.at}
        for each in (await queue.dead(letters) if letters else [])
    ]
    return {**await _state(queue), "rules": asdict(queue.rules), "letters": dead}


@router.patch("/queues/{name}", dependencies=[Depends(allowed(WRITE))])
async def control_queue(name: str, queues: Known, wanted: Wanted) -> dict[str, Any]:
    """Pause, resume, drain or slow down a queue."""
    queue = queues.find(name)
    controls = await queue.control(paused=wanted.paused, draining=wanted.draining, limit=wanted.limit)
    return {"queue": str(queue.name), **asdict(controls)}


async def _state(queue: Queue) -> dict[str, Any]:
    stats = await queue.stats()
    return {"queue": str(queue.name), "depth": stats.depth, **asdict(stats)}
