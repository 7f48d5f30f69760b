"""Consecutive campaigns of 100: `locust -f loadtests/end_to_end.py`."""

from __future__ import annotations

from loadtests.campaign import CampaignUser
from loadtests.generator.shape import OpenLoopShape

__all__ = ["CampaignUser", "OpenLoopShape"]
