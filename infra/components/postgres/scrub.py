"""Scrub of Postgres: a base backup to nowhere, for which the server verifies the checksum of every page.

The repair copies the whole member again from the leader. A leader must hand over first.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from infra.components.component_health import PodUnreachableError
from infra.components.scrub import Damage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.components.component_health import PodClient

COMPONENT = "postgres"
READ_ALL_PAGES = (
    "pg_basebackup --pgdata=- --format=tar --wal-method=none --checkpoint=fast --no-manifest"
    " --host=/run/postgresql --username=postgres 2>&1 >/dev/null"
)
"""Reads the files as they are on the disk, not the pages in the server's cache."""
_REST_PORT = 8008
_DAMAGE = re.compile(r'checksum verification failed in file "\./(.+?)", block (\d+)')
_COMPLETE = "checksum error occurred"
"""The backup was read to its end, and had damage."""


def scrub(pods: PodClient, pod: str) -> Sequence[Damage]:
    """Read all pages of a member.

    Args:
        pods: access to the pods.
        pod: pod of the member.

    Returns:
        The damaged pages.

    Raises:
        PodUnreachableError: the pages could not be read.
    """
    output = pods.run(pod, COMPONENT, ("sh", "-c", f"{READ_ALL_PAGES} || echo failed"))
    damages = [Damage(pod=pod, location=f"{file}, page {page}") for file, page in _DAMAGE.findall(output)]
    if output.endswith("failed\n") and not (damages and _COMPLETE in output):
        raise PodUnreachableError(f"{pod} cannot read its data: {output[-200:].strip()}")
    return damages


def repair(pods: PodClient, pod: str, damages: Sequence[Damage]) -> None:  # noqa: ARG001 - the member is copied whole
    """Start to copy a member again from the leader.

    Args:
        pods: access to the pods.
        pod: pod of the member.
        damages: its damage.

    Raises:
        PodUnreachableError: the member leads, or does not respond.
    """
    members = json.loads(pods.get(pod, _REST_PORT, "/cluster"))["members"]
    if any(member["name"] == pod and member["role"] == "leader" for member in members):
        raise PodUnreachableError(
            f"{pod} leads and has no one to copy from: hand over with `patronictl switchover {COMPONENT}`"
        )
    pods.run(pod, COMPONENT, ("patronictl", "reinit", COMPONENT, pod, "--force"))
