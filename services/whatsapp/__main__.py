"""Entry point of the whatsapp service: `python -m services.whatsapp PROCESS_TYPE`."""

from __future__ import annotations

import argparse
from functools import partial

from services.kit.runtime import run_service
from services.whatsapp.bootstrap import build_api, build_dispatcher, build_webhook_processor, build_worker
from services.whatsapp.settings import (
    ApiSettings,
    DispatcherSettings,
    WebhookProcessorSettings,
    WorkerSettings,
)

PROCESS_TYPES = {
    "api": partial(run_service, ApiSettings, build_api),
    "worker": partial(run_service, WorkerSettings, build_worker),
    "dispatcher": partial(run_service, DispatcherSettings, build_dispatcher),
    "webhooks": partial(run_service, WebhookProcessorSettings, build_webhook_processor),
}
"""Function that runs each process type: the HTTP API; send requests, sweeper and outbox relay; sending, which
may be killed at any moment; processing of stored webhooks."""


def main() -> None:
    """Run the process type that the command line names."""
    parser = argparse.ArgumentParser(prog="services.whatsapp", description=__doc__)
    parser.add_argument("process_type", choices=PROCESS_TYPES)
    PROCESS_TYPES[parser.parse_args().process_type]()


if __name__ == "__main__":
    main()
