"""Planner, relay and consumer as a process: `python -m services.campaigns.entrypoints.worker`."""

from __future__ import annotations

from services.campaigns.bootstrap import assemble_worker
from services.campaigns.settings import WorkerSettings
from services.kit.process import launch

if __name__ == "__main__":
    launch(WorkerSettings, assemble_worker)
