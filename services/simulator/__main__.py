"""Entry point of the simulator: `python -m services.simulator PROCESS_TYPE`."""

from __future__ import annotations

import argparse
from functools import partial

from services.kit.runtime import run_service
from services.simulator.bootstrap import build_api
from services.simulator.settings import SimulatorSettings

PROCESS_TYPES = {"api": partial(run_service, SimulatorSettings, build_api)}
"""Function that runs each process type: the whole simulator, in any number of replicas."""


def main() -> None:
    """Run the process type that the command line names."""
    parser = argparse.ArgumentParser(prog="services.simulator", description=__doc__)
    parser.add_argument("process_type", choices=PROCESS_TYPES)
    PROCESS_TYPES[parser.parse_args().process_type]()


if __name__ == "__main__":
    main()
