"""One-shot program of the disaster recovery: `python -m services.campaigns.jobs.republish_requests`.

Backups do not include the content of Kafka. The database knows which messages are unconfirmed, so they are
requested again; the planner's outbox relay publishes the requests.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from services.campaigns.adapters.contacts_client import open_contacts_client
from services.campaigns.adapters.postgres import PostgresUnitOfWorkFactory
from services.campaigns.jobs.republish import republish_requests
from services.campaigns.settings import ContactsClientSettings
from services.kit.errors import TemporaryError
from services.kit.http.auth import JwtTokens
from services.kit.observability import json_logging
from services.kit.postgres.database import open_database
from services.kit.settings import SettingsError, load, secret_values

CHUNK_SIZE = 500
TIMEOUT_SECONDS = 600.0
RETRY_INTERVAL_SECONDS = 2.0
EXIT_INVALID_SETTINGS = 2
TERMINATION_LOG = Path("/dev/termination-log")
"""Kubernetes stores the content of this file in the pod's status."""


async def run(settings: ContactsClientSettings, timeout_seconds: float = TIMEOUT_SECONDS) -> int:
    """Republish requests, and start over while a dependency is unavailable.

    Args:
        settings: settings of the program.
        timeout_seconds: time after which errors are raised instead of retried.

    Returns:
        The number of requested messages.

    Raises:
        TemporaryError: a dependency was still unavailable after the timeout.
    """
    deadline = time.monotonic() + timeout_seconds
    tokens = JwtTokens(*secret_values(settings.token_keys))
    async with (
        open_database(settings, settings) as database,
        open_contacts_client(settings, tokens) as contacts,
    ):
        while True:
            try:
                return await republish_requests(CHUNK_SIZE, PostgresUnitOfWorkFactory(database), contacts)
            except TemporaryError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(RETRY_INTERVAL_SECONDS)


def main() -> None:
    """Run the job.

    Raises:
        SystemExit: the settings are invalid; the exit code is 2.
    """
    try:
        settings = load(ContactsClientSettings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_INVALID_SETTINGS) from None
    json_logging.configure(settings.service, settings.log_level)
    text = json.dumps({"succeeded": True, "republished": asyncio.run(run(settings))})
    sys.stdout.write(text + "\n")
    if TERMINATION_LOG.exists():
        TERMINATION_LOG.write_text(text)


if __name__ == "__main__":
    main()
