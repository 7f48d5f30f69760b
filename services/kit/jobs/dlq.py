"""Job behind `esq dlq`: shows, replays or discards dead letters, and prints the result as JSON.

    dlq show | replay | discard PATH...

Its exit code is 0 even when Kafka failed: the problem is in the result, and the operator decides about a
retry.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException

from services.kit.errors import TemporaryError
from services.kit.kafka.client import client_config, open_publisher
from services.kit.kafka.dead_letters import (
    DISCARDED,
    REPLAYED,
    KafkaDeadLetterStore,
    resolve_dead_letters,
    select_dead_letters,
)
from services.kit.observability import json_logging
from services.kit.settings import KafkaSettings, ProcessSettings, SettingsError, load

if TYPE_CHECKING:
    from collections.abc import Sequence

ID_LIMIT = 200
"""Ids in the result; the job's log carries them."""
SHOW_LIMIT = 20
EXIT_USAGE = 2
ACTIONS = {"replay": REPLAYED, "discard": DISCARDED}
TERMINATION_LOG = Path("/dev/termination-log")
"""Kubernetes copies this file into the pod's status."""


class DlqSettings(ProcessSettings, KafkaSettings):
    """Settings of the job."""

    service: str = "dlq"


async def run(settings: DlqSettings, action: str, paths: Sequence[str]) -> dict[str, Any]:
    """Run the action.

    Args:
        settings: settings of the job.
        action: `show`, `replay` or `discard`.
        paths: ids of dead letters, or prefixes of ids.

    Returns:
        The result: `succeeded`, and either the dead letters or `problems`.
    """
    try:
        dead_letters = KafkaDeadLetterStore(client_config(settings, settings)).list_unresolved()
        selected = select_dead_letters(dead_letters, paths)
        if not selected:
            return {"succeeded": False, "problems": [f"there is no dead letter at {' or '.join(paths)}"]}
        if action == "show":
            redacted = [dead_letter.redacted() for dead_letter in selected[:SHOW_LIMIT]]
            return {"succeeded": True, "total": len(selected), "dead_letters": redacted}
        async with open_publisher(settings, settings) as publisher:
            await resolve_dead_letters(selected, ACTIONS[action], publisher, datetime.now(UTC))
    except (KafkaException, TimeoutError, TemporaryError) as error:
        return {"succeeded": False, "problems": [f"Kafka: {error}"]}
    ids = [dead_letter.id for dead_letter in selected[:ID_LIMIT]]
    return {"succeeded": True, "total": len(selected), "ids": ids}


def main(arguments: Sequence[str]) -> None:
    """Run the job.

    Raises:
        SystemExit: settings or arguments are invalid; the exit code is 2.
    """
    action, paths = (arguments[0], arguments[1:]) if arguments else ("", ())
    if action not in {"show", *ACTIONS} or not paths:
        sys.stderr.write("usage: dlq show|replay|discard PATH...\n")
        raise SystemExit(EXIT_USAGE)
    try:
        settings = load(DlqSettings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_USAGE) from None
    json_logging.configure(settings.service, settings.log_level)
    text = json.dumps(asyncio.run(run(settings, action, paths)))
    sys.stdout.write(text + "\n")
    if TERMINATION_LOG.exists():
        TERMINATION_LOG.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
