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
files=$(find {DATA_DIRECTORY} -name '*.log' -size +0 -not -path '*-delete/*' | paste -sd,)
[ -n "$files" ] || exit 0
java -Xmx48m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp '/opt/kafka/libs/*' \\
    org.apache.kafka.tools.DumpLogSegments --files "$files" 2>&1 |
    grep -e '^Dumping' -e 'isvalid: false' -e Exception
echo read
"""
"""Prints the name of each file, and after it its invalid batches."""
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
    if not output.endswith("read\n"):
        raise PodUnreachableError(f"{pod} cannot read its data: {output[-200:].strip()}")
    file, damages = "", []
    for line in output.splitlines():
        if match := _FILE.search(line):
            file = match[1]
        elif match := _BATCH.search(line):
            damages.append(Damage(pod=pod, location=f"{file}, byte {match[1]}"))
        elif "Exception" in line:
            damages.append(Damage(pod=pod, location=f"{file}: {line.strip()[:100]}"))
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
