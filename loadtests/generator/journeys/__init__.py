"""The journeys: Locust users, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtests.generator.journeys.api import Api
from loadtests.generator.journeys.callbacks import Callbacks
from loadtests.generator.journeys.campaigns import Campaigns
from loadtests.generator.journeys.day import Day
from loadtests.generator.journeys.pages import Pages

if TYPE_CHECKING:
    from loadtests.generator.visitor import Visitor

BY_NAME: dict[str, type[Visitor]] = {
    "api": Api,
    "callbacks": Callbacks,
    "campaign": Campaigns,
    "campaigns": Campaigns,
    "day": Day,
    "pages": Pages,
    "path": Campaigns,
}
"""Three are the same requests at different rates, to lists of different lengths."""
