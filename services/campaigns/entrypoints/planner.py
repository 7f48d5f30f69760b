"""`python3 -m services.campaigns.entrypoints.planner`: plans, renders and asks for messages."""

from __future__ import annotations

from services.campaigns.bootstrap import assemble_planner
from services.campaigns.settings import PlannerSettings
from services.kit.process import launch

if __name__ == "__main__":
    launch(PlannerSettings, assemble_planner)
