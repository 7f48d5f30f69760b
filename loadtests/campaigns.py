"""100 campaigns of 1,000, each of another company: `locust -f loadtests/campaigns.py`."""

from __future__ import annotations

from loadtests.campaign import CampaignUser
from loadtests.generator.shape import OpenLoopShape

__all__ = ["CampaignUser", "OpenLoopShape"]
