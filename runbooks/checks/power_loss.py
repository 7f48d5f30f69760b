"""Machines lost their power: neither the control plane nor any zone answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks.actions import SCRUB, START_CLUSTER, UNDO_FAULTS
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps

if TYPE_CHECKING:
    from runbooks.check import CheckContext


def find(context: CheckContext) -> Finding | None:
    """Return a finding if neither the API server nor any public endpoint answers."""
    apiserver = context.control_plane().get("apiserver", "")
    endpoints = context.endpoints()
    if not apiserver or not endpoints or not all(endpoint.problem for endpoint in endpoints):
        return None
    evidence = (f"apiserver: {apiserver}", *(f"{check.path}: {check.problem}" for check in endpoints))
    return Finding("neither the control plane nor any zone answers", evidence)


CHECK = Check("power-loss", "Whether neither the control plane nor any zone answers.", find)
STEPS = (*read_steps(CHECK), *change_steps(START_CLUSTER, UNDO_FAULTS, SCRUB), *verify_steps(CHECK))
