"""Plans in Postgres."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from services.campaigns.adapters.row_mappers import campaign_from_row
from services.campaigns.commands import PlanLease, PlanningLoad
from services.kit.observability import tracing
from services.kit.postgres.named_queries import load_queries

if TYPE_CHECKING:
    from uuid import UUID

    from services.campaigns.domain.model import Campaign
    from services.kit.postgres.database import Transaction

SQL = load_queries(Path(__file__).with_name("queries.sql"))


class PostgresPlanRepository:
    """See `ports.PlanRepository`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def start_or_resume(self, campaign: Campaign) -> None:
        """See `ports.PlanRepository.start_or_resume`."""
        await self._transaction.execute(
            SQL["start_or_resume_plan"], traceparent=tracing.current_traceparent(), **_key(campaign)
        )

    async def suspend(self, campaign: Campaign) -> None:
        """See `ports.PlanRepository.suspend`."""
        await self._transaction.execute(SQL["suspend_plan"], **_key(campaign))

    async def claim(self, lease_seconds: float) -> PlanLease | None:
        """See `ports.PlanRepository.claim`."""
        row = await self._transaction.fetch_one(SQL["claim_plan"], seconds=lease_seconds)
        if row is None:
            return None
        return PlanLease(campaign_from_row(row), row.cursor, row.epoch, row.list_exhausted, row.traceparent)

    async def advance(self, plan: PlanLease, cursor: UUID | None, lease_seconds: float) -> bool:
        """See `ports.PlanRepository.advance`."""
        updated = await self._transaction.execute(
            SQL["advance_plan"], cursor=cursor, seconds=lease_seconds, **_lease(plan)
        )
        return updated == 1

    async def finish(self, plan: PlanLease, failure: str | None) -> bool:
        """See `ports.PlanRepository.finish`."""
        return await self._transaction.execute(SQL["finish_plan"], failure=failure, **_lease(plan)) == 1

    async def start_pass(self, plan: PlanLease) -> bool:
        """See `ports.PlanRepository.start_pass`."""
        return await self._transaction.execute(SQL["start_list_pass"], **_lease(plan)) == 1

    async def schedule_pass(self, plan: PlanLease, delay_seconds: float) -> bool:
        """See `ports.PlanRepository.schedule_pass`."""
        return (
            await self._transaction.execute(SQL["schedule_list_pass"], seconds=delay_seconds, **_lease(plan))
            == 1
        )

    async def load(self) -> PlanningLoad:
        """See `ports.PlanRepository.load`."""
        row = await self._transaction.fetch_one(SQL["planning_load"])
        return PlanningLoad(row.campaigns, float(row.age_seconds)) if row else PlanningLoad(0, 0.0)

    async def set_total(self, campaign: Campaign, total: int) -> None:
        """See `ports.PlanRepository.set_total`."""
        await self._transaction.execute(SQL["set_plan_total"], total=total, **_key(campaign))


def _key(campaign: Campaign) -> dict[str, object]:
    return {"company": campaign.company, "campaign_id": campaign.id}


def _lease(plan: PlanLease) -> dict[str, object]:
    """Return the key of a plan and the epoch that matches while the lease is valid."""
    return {**_key(plan.campaign), "epoch": plan.epoch}
