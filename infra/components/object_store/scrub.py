"""Scrub of the object store: Garage reads every block, compares it with its hash, and repairs it by itself.

It moves a damaged block aside and copies it from another node. Objects up to 3 KiB are not blocks: they are
in the metadata, which has no checksums.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from infra.components.component_health import PodUnreachableError
from infra.components.scrub import Damage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.components.component_health import PodClient

COMPONENT = "object-store"
CONTAINER = "garage"
TIMEOUT_SECONDS = 600.0
_POLL_INTERVAL_SECONDS = 1.0
_COMPLETED = "scrub-last-completed"
_DATA_DIRECTORY = "/var/lib/garage/data"
LIST_DAMAGED_BLOCKS = f"""\
files=$(find {_DATA_DIRECTORY} -name '*.corrupted') || exit 1
[ -n "$files" ] || exit 0
echo "$files" | while read -r file; do
    block=$(basename "$file" .corrupted)
    for _ in $(seq 20); do [ ! -e "${{file%.corrupted}}" ] || break; sleep 1; done
    if [ -e "${{file%.corrupted}}" ]; then rm "$file"; echo "repaired $block"; else echo "damaged $block"; fi
done
"""
"""Waits until Garage has copied a damaged block from another node, and then deletes the damaged file."""


def scrub(pods: PodClient, pod: str) -> Sequence[Damage]:
    """Read all blocks of a node.

    Args:
        pods: access to the pods.
        pod: pod of the node.

    Returns:
        The damaged blocks, which Garage has repaired or is about to.

    Raises:
        PodUnreachableError: the blocks could not be read.
    """
    before = _completed_at(pods, pod)
    _call(pods, pod, "LaunchRepairOperation", {"repairType": {"scrub": "start"}})
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while _completed_at(pods, pod) == before:
        if time.monotonic() > deadline:
            raise PodUnreachableError(f"{pod} has not read its blocks after {TIMEOUT_SECONDS:g} s")
        time.sleep(_POLL_INTERVAL_SECONDS)
    lines = pods.run(pod, CONTAINER, ("sh", "-c", LIST_DAMAGED_BLOCKS)).splitlines()
    states = [line.split(" ", 1) for line in lines]
    return [
        Damage(pod=pod, location=f"block {block}", repaired=state == "repaired") for state, block in states
    ]


def repair(pods: PodClient, pod: str, damages: Sequence[Damage]) -> None:  # noqa: ARG001 - it looks for itself
    """Start to copy all blocks that a node misses.

    Args:
        pods: access to the pods.
        pod: pod of the node.
        damages: its damage.

    Raises:
        PodUnreachableError: the node does not respond.
    """
    _call(pods, pod, "LaunchRepairOperation", {"repairType": "blocks"})


def _completed_at(pods: PodClient, pod: str) -> str:
    return str(_call(pods, pod, "GetWorkerVariable", {"variable": _COMPLETED})[_COMPLETED])


def _call(pods: PodClient, pod: str, name: str, body: object) -> dict[str, Any]:
    """Call an operation of the admin API for this node only; return its response."""
    request = json.dumps({"node": "self", "body": body})
    response = json.loads(pods.run(pod, CONTAINER, ("garage", "json-api", name, request)))
    if response["error"]:
        raise PodUnreachableError(f"{pod} refuses {name}: {next(iter(response['error'].values()))}")
    result: dict[str, Any] = next(iter(response["success"].values())) or {}
    return result
