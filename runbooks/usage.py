"""Use of resources: what no kubelet tells is not known to be low."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from runbooks.check import UnavailableError

if TYPE_CHECKING:
    from runbooks.check import CheckContext


def require_all_nodes(context: CheckContext) -> None:
    """Require that the kubelet of each ready node has answered; lost nodes have a finding of their own.

    Raises:
        UnavailableError: one has not.
    """
    ready = Counter(node.zone for node in context.nodes() if node.ready)
    silent = ready - Counter(usage.zone for usage in context.usage())
    if silent:
        zones = ", ".join(sorted(silent))
        raise UnavailableError(f"a kubelet of {zones} does not tell the use of resources", location=zones)
