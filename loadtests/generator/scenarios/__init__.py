"""Locust users of the scenarios, by scenario name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtests.generator.scenarios.api import ApiUser
from loadtests.generator.scenarios.campaigns import CampaignUser
from loadtests.generator.scenarios.mixed import MixedUser
from loadtests.generator.scenarios.self_test import SelfTestUser
from loadtests.generator.scenarios.webhooks import WebhookUser

if TYPE_CHECKING:
    from loadtests.generator.base_user import ScenarioUser

USER_CLASSES: dict[str, type[ScenarioUser]] = {
    "api": ApiUser,
    "campaign": CampaignUser,
    "campaigns": CampaignUser,
    "end-to-end": CampaignUser,
    "mixed-day": MixedUser,
    "self-test": SelfTestUser,
    "webhooks": WebhookUser,
}
"""Three scenarios make the same requests, at different rates and with lists of different lengths."""
