"""The job behind `esq dlq`: lists, shows, replays or drops dead letters, and tells the result as JSON.

    dlq list
    dlq show | replay | drop PATH...

It ends with 0 whatever became of it: what failed is in the result, and trying again is for people to decide.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException

from services.kit import logs
from services.kit.deadletters import DROPPED, REPLAYED, KafkaLetters, chosen, settle
from services.kit.errors import TemporaryError
from services.kit.kafka import client_config, open_publisher
from services.kit.settings import KafkaSettings, ProcessSettings, SettingsError, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.kit.deadletters import Letter

LISTED = 200
"""Letters told one by one: the log of the job carries them."""
SHOWN = 20
WRONG_USE = 2
VERBS = {"replay": REPLAYED, "drop": DROPPED}
TERMINATION = Path("/dev/termination-log")
"""Kubernetes keeps what is written here with the pod's status."""


class DlqSettings(ProcessSettings, KafkaSettings):
    """What the job is given."""

    service: str = "dlq"


async def run(settings: DlqSettings, verb: str, paths: Sequence[str]) -> dict[str, Any]:
    """Do what was asked for; return what became of it."""
    try:
        letters = KafkaLetters(client_config(settings, settings)).read()
        if verb == "list":
            return _listed(letters)
        found = chosen(letters, paths)
        if not found:
            return {"good": False, "faults": [f"no dead letter is at {' or '.join(paths)}"]}
        if verb == "show":
            return {"good": True, "total": len(found), "letters": [each.shown() for each in found[:SHOWN]]}
        async with open_publisher(settings, settings) as publisher:
            await settle(found, VERBS[verb], publisher, datetime.now(UTC))
    except (KafkaException, TimeoutError, TemporaryError) as error:
        return {"good": False, "faults": [f"Kafka: {error}"]}
    return {"good": True, "total": len(found), "ids": [each.id for each in found[:LISTED]]}


def _listed(letters: Sequence[Letter]) -> dict[str, Any]:
    told = [each.told() for each in letters]
    counts = Counter((each.consumer, each.record.origin.split("/", 1)[0]) for each in letters)
    return {
        "good": True,
        "total": len(told),
        "counts": [{"consumer": who, "topic": topic, "letters": n} for (who, topic), n in counts.items()],
        "letters": told[:LISTED],
    }


def main(words: Sequence[str]) -> None:
    """Run the job; exit code 2 when settings or words are wrong."""
    verb, paths = (words[0], words[1:]) if words else ("", ())
    if (verb != "list" or paths) and not (verb in {"show", *VERBS} and paths):
        sys.stderr.write("usage: dlq list | dlq show|replay|drop PATH...\n")
        raise SystemExit(WRONG_USE)
    try:
        settings = load(DlqSettings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(WRONG_USE) from None
    logs.configure(settings.service, settings.log_level)
    text = json.dumps(asyncio.run(run(settings, verb, paths)))
    sys.stdout.write(text + "\n")
    if TERMINATION.exists():
        TERMINATION.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
