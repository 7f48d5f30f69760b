"""Plans in Postgres."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from services.campaigns.adapters.rows import campaign_of
from services.campaigns.commands import Plan
from services.kit.sql import load_queries

if TYPE_CHECKING:
    from uuid import UUID

    from services.campaigns.domain import Campaign
    from services.kit.database import Work

SQL = load_queries(Path(__file__).with_name("queries.sql"))


class PostgresPlans:
    """See `ports.Plans`."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def open(self, campaign: Campaign) -> None:
        """See `Plans`."""
        await self._work.run(SQL["plan_open"], company=campaign.company, id=campaign.id)

    async def park(self, campaign: Campaign) -> None:
        """See `Plans`."""
        await self._work.run(SQL["plan_park"], company=campaign.company, id=campaign.id)

    async def claim(self, lease_seconds: float) -> Plan | None:
        """See `Plans`."""
        row = await self._work.row(SQL["plan_claim"], seconds=lease_seconds)
        return Plan(campaign_of(row), row.cursor, row.epoch, row.complete) if row else None

    async def hold(self, plan: Plan, cursor: UUID | None, lease_seconds: float) -> bool:
        """See `Plans`."""
        held = await self._work.run(SQL["plan_hold"], cursor=cursor, seconds=lease_seconds, **_key(plan))
        return held == 1

    async def end(self, plan: Plan, failure: str | None) -> bool:
        """See `Plans`."""
        return await self._work.run(SQL["plan_end"], failure=failure, **_key(plan)) == 1

    async def begin_walk(self, plan: Plan) -> bool:
        """See `Plans`."""
        return await self._work.run(SQL["plan_walk"], **_key(plan)) == 1

    async def walk_again(self, plan: Plan, pause_seconds: float) -> bool:
        """See `Plans`."""
        return await self._work.run(SQL["plan_again"], seconds=pause_seconds, **_key(plan)) == 1

    async def set_total(self, campaign: Campaign, total: int) -> None:
        """See `Plans`."""
        await self._work.run(
            SQL["plan_total"], company=campaign.company, campaign_id=campaign.id, total=total
        )


def _key(plan: Plan) -> dict[str, object]:
    """Return what a plan is found by while the claim lasts."""
    return {"company": plan.campaign.company, "campaign_id": plan.campaign.id, "epoch": plan.epoch}
