"""Scrub of Kafka: every batch of every log is read, and its checksum verified.

The repair moves the folder of the damaged replica away and restarts the broker. Its leaderships move to other
brokers, and it copies the partition from the new leader.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

from infra.components.component_health import PodUnreachableError
from infra.components.scrub import Damage
from infra.config_files.kafka import DATA_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.components.component_health import PodClient

COMPONENT = "kafka"
READ_ALL_BATCHES = f"""\
files=$(find {DATA_DIRECTORY} -name '*.log' -size +0 -not -path '*-delete/*') || exit 1
{{
    java -Xmx48m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp '/opt/kafka/libs/*' \\
        org.apache.kafka.tools.DumpLogSegments --files "$(echo "$files" | paste -sd,)" 2>&1
    echo "status $?"
}} | grep -e '^Dumping' -e 'isvalid: false' -e Exception -e Error -e '^status'
"""
"""Prints the name of each file, after it its invalid batches, and at last the exit status of the reader."""
_COMPLETE, _FAILED = "status 0\n", "status 1\n"
_UNREADABLE_BATCH = re.compile(r"\b(CorruptRecordException|InvalidRecordException)\b")
"""Ends the reader. Other errors (a lack of memory) are no damage: a repair would delete intact data."""
_FILE = re.compile(r"^Dumping .*?([^/]+/[^/]+\.log)")
_BATCH = re.compile(r"position: (\d+).*isvalid: false")
_MAIN_PROCESS = "1"


def scrub(pods: PodClient, pod: str) -> Sequence[Damage]:
    """Read all logs of a broker.

    Args:
        pods: access to the pods.
        pod: pod of the broker.

    Returns:
        The damaged batches; of a file whose batches cannot be told apart, the file.

    Raises:
        PodUnreachableError: the logs could not be read.
    """
    output = pods.run(pod, COMPONENT, ("sh", "-c", READ_ALL_BATCHES))
    file, damages, unreadable_batch = "", [], False
    for line in output.splitlines():
        if match := _FILE.search(line):
            file = match[1]
        elif match := _BATCH.search(line):
            damages.append(Damage(pod=pod, location=f"{file}, byte {match[1]}"))
        elif file and _UNREADABLE_BATCH.search(line):
            damages.append(Damage(pod=pod, location=f"{file}: {line.strip()[:100]}"))
            unreadable_batch = True
    if not output.endswith(_FAILED if unreadable_batch else _COMPLETE):
        raise PodUnreachableError(f"{pod} cannot read its data: {output[-200:].strip()}")
    return damages


def repair(pods: PodClient, pod: str, damages: Sequence[Damage]) -> None:
    """Restart a broker without its damaged partitions, which it then copies from their leaders.

    Args:
        pods: access to the pods.
        pod: pod of the broker.
        damages: its damage.

    Raises:
        PodUnreachableError: the broker does not respond.
    """
    partitions = sorted({damage.location.partition("/")[0] for damage in damages})
    # Kafka deletes folders of this name when it starts. Until it has stopped, the files stay open.
    moves = [
        f"mv {DATA_DIRECTORY}/{partition} {DATA_DIRECTORY}/{partition}.{uuid.uuid4().hex}-delete"
        for partition in partitions
    ]
    pods.run(pod, COMPONENT, ("sh", "-c", " && ".join([*moves, f"kill -TERM {_MAIN_PROCESS}"])))
