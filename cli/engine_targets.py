"""Targets of a run: the only resources that it deploys, given by name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from infra.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_MAX_SHOWN = 5


def target_patterns(names: Sequence[str]) -> list[str] | None:
    """Return patterns of the engine that match the resources with these names, and what belongs to them.

    A program's certificate belongs to it, since its pods have a digest of it; so do the Jobs of a name, which
    end with a digest. None for no names: everything is deployed.
    """
    patterns = ("**::{}", "**kubernetes:core/v1:Secret::{}-tls", "**kubernetes:batch/v1:Job::{}-*")
    return [f"urn:pulumi:*::*::{pattern.format(name)}" for name in names for pattern in patterns] or None


def require_targets(names: Sequence[str], urns: Collection[str], layer: str) -> None:
    """Require a resource for each target: the engine ignores a pattern that matches none.

    Args:
        names: the targets.
        urns: the resources that the engine has considered.
        layer: name of the layer.

    Raises:
        UsageError: targets without a resource.
    """
    known = {urn.rpartition("::")[2] for urn in urns if "::pulumi:" not in urn}
    unknown = [name for name in names if not any(_is_target(name, urn) for urn in urns)]
    if not unknown:
        return
    close = sorted(
        {match for name in unknown for match in difflib.get_close_matches(name, known, _MAX_SHOWN)}
    )
    names_shown = f"Similar names: {', '.join(close)}. " if close else ""
    raise UsageError(
        f"layer {layer} has no resource {', '.join(unknown)}",
        location="--target",
        remedy=f"{names_shown}`esq preview ENV --layer {layer}` shows the names; other targets were handled.",
    )


def _is_target(name: str, urn: str) -> bool:
    kinds, _, resource = urn.rpartition("::")
    is_job = kinds.endswith("kubernetes:batch/v1:Job") and resource.startswith(f"{name}-")
    return resource == name or is_job
