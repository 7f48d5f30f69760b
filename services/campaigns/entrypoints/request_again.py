"""The job of a rebuild: `python -m services.campaigns.entrypoints.request_again`.

What was in Kafka when an environment was lost is in no backup. The database knows what was owed, so it is
asked for again; the worker's relay carries the requests from the outbox.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from services.campaigns.adapters.contacts import open_contact_pages
from services.campaigns.adapters.postgres import PostgresUnits
from services.campaigns.again import request_again
from services.campaigns.settings import AskingSettings
from services.kit import logs
from services.kit.auth import Tokens
from services.kit.database import open_database
from services.kit.errors import TemporaryError
from services.kit.settings import SettingsError, load

CHUNK = 500
DEADLINE_SECONDS = 600.0
PAUSE_SECONDS = 2.0
WRONG_SETTINGS = 2
TERMINATION = Path("/dev/termination-log")
"""Kubernetes keeps what is written here with the pod's status."""


async def run(settings: AskingSettings, deadline_seconds: float = DEADLINE_SECONDS) -> int:
    """Ask until it was once done without anything being away; return how many messages.

    Raises:
        TemporaryError: not before the deadline.
    """
    deadline = time.monotonic() + deadline_seconds
    tokens = Tokens(settings.token_key.get_secret_value())
    async with (
        open_database(settings, settings) as database,
        open_contact_pages(settings, tokens) as contacts,
    ):
        while True:
            try:
                return await request_again(CHUNK, PostgresUnits(database), contacts)
            except TemporaryError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)


def main() -> None:
    """Run the job; exit code 2 when the settings are wrong."""
    try:
        settings = load(AskingSettings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(WRONG_SETTINGS) from None
    logs.configure(settings.service, settings.log_level)
    text = json.dumps({"good": True, "requested": asyncio.run(run(settings))})
    sys.stdout.write(text + "\n")
    if TERMINATION.exists():
        TERMINATION.write_text(text)


if __name__ == "__main__":
    main()
