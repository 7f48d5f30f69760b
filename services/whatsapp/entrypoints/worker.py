"""`python3 -m services.whatsapp.entrypoints.worker`: takes requests, sweeps leases, relays events."""

from __future__ import annotations

from services.kit.process import launch
from services.whatsapp.bootstrap import assemble_worker
from services.whatsapp.settings import WorkerSettings

if __name__ == "__main__":
    launch(WorkerSettings, assemble_worker)
