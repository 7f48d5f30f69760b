"""A million messages in 100 campaigns, each of another company: `locust -f loadtests/million.py`."""

from __future__ import annotations

from loadtests.campaign import CampaignUser
from loadtests.generator.shape import OpenLoopShape

__all__ = ["CampaignUser", "OpenLoopShape"]
