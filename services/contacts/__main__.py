"""Entry point of the contacts service: `python -m services.contacts PROCESS_TYPE`."""

from __future__ import annotations

import argparse
from functools import partial

from services.contacts.bootstrap import build_api
from services.contacts.settings import ApiSettings
from services.kit.runtime import run_service

PROCESS_TYPES = {"api": partial(run_service, ApiSettings, build_api)}
"""Function that runs each process type."""


def main() -> None:
    """Run the process type that the command line names."""
    parser = argparse.ArgumentParser(prog="services.contacts", description=__doc__)
    parser.add_argument("process_type", choices=PROCESS_TYPES)
    PROCESS_TYPES[parser.parse_args().process_type]()


if __name__ == "__main__":
    main()
