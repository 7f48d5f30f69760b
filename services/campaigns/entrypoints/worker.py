"""`python3 -m services.campaigns.entrypoints.worker`: takes news of messages."""

from __future__ import annotations

from services.campaigns.bootstrap import assemble_worker
from services.campaigns.settings import WorkerSettings
from services.kit.process import launch

if __name__ == "__main__":
    launch(WorkerSettings, assemble_worker)
