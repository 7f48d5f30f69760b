"""`python3 -m services.simulator.entrypoints.api`: the whole simulator; any number of replicas."""

from __future__ import annotations

from services.kit.process import launch
from services.simulator.bootstrap import assemble_api
from services.simulator.settings import SimulatorSettings

if __name__ == "__main__":
    launch(SimulatorSettings, assemble_api)
