"""Entry point of the campaigns service: `python -m services.campaigns PROCESS_TYPE`."""

from __future__ import annotations

import argparse
from functools import partial

from services.campaigns.bootstrap import build_api, build_planner, build_worker
from services.campaigns.settings import ApiSettings, PlannerSettings, WorkerSettings
from services.kit.runtime import run_service

PROCESS_TYPES = {
    "api": partial(run_service, ApiSettings, build_api),
    "planner": partial(run_service, PlannerSettings, build_planner),
    "worker": partial(run_service, WorkerSettings, build_worker),
}
"""Function that runs each process type: the HTTP API, planning and scheduling, the consumer of status
updates."""


def main() -> None:
    """Run the process type that the command line names."""
    parser = argparse.ArgumentParser(prog="services.campaigns", description=__doc__)
    parser.add_argument("process_type", choices=PROCESS_TYPES)
    PROCESS_TYPES[parser.parse_args().process_type]()


if __name__ == "__main__":
    main()
