"""Pages of runbooks, found by the name of an alert or of a page, with the names of an environment."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from infra.alerts.catalog import ALERT_BY_NAME
from infra.errors import UsageError
from infra.progress import RecordingProgress
from infra.validation import suggest
from runbooks import page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.actions.deployment_target import DeploymentTarget

UNFILLED = {"env": "ENV", "kubectl": "kubectl --kubeconfig KUBECONFIG", "url": "https://EDGE"}
"""Values of the placeholders where no environment is named."""


def find_page(name: str) -> str:
    """Return the name of the page for an alert (`PostgresDown`), a runbook or a procedure.

    Raises:
        UsageError: there is no such page.
    """
    known = [*page.names(), *page.procedures()]
    slug = ALERT_BY_NAME[name].slug if name in ALERT_BY_NAME else name
    if slug not in known:
        raise UsageError(
            f"there is no runbook `{name}`",
            location="NAME",
            remedy=f"{suggest(name, [*known, *ALERT_BY_NAME])}See `esq runbook list`.",
        )
    return slug


def page_text(name: str, values: Mapping[str, str]) -> str:
    """Return a page with its placeholders filled in, without its front matter.

    Args:
        name: name of a runbook or procedure.
        values: value by placeholder.
    """
    if name in page.procedures():
        return page.fill((page.PROCEDURES_DIR / f"{name}.md").read_text(encoding="utf-8"), values)
    return page.fill(page.load(name).text, values)


def environment_values(env: str) -> dict[str, str]:
    """Return the values of the placeholders for an environment; its cluster need not be reachable.

    Raises:
        UsageError: there is no such environment, or its kubeconfig is invalid.
    """
    from cli.actions.deployment_target import open_target  # noqa: PLC0415 - imports the clients
    from cli.environment import load_environment  # noqa: PLC0415 - same

    target = open_target(load_environment(env), RecordingProgress())
    return {
        "env": env,
        "kubectl": kubectl_command(target),
        "url": target.address or UNFILLED["url"],
    }


def kubectl_command(target: DeploymentTarget) -> str:
    """Return kubectl with the kubeconfig of a deployment target, to paste."""
    return f"kubectl --kubeconfig {shlex.quote(str(target.kubeconfig))}"
