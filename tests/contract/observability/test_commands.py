"""Every option of the layer's containers is known to its program."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from infra.components.observability import ObservabilityArgs, logs, metrics, pages
from infra.credentials import complete_credentials
from infra.environment_definition import LOCAL_DEFINITION
from infra.names import NODE_AGENTS_NAMESPACE, OBJECT_STORE_ADMIN, OBSERVABILITY, OBSERVABILITY_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.contract


def arguments() -> ObservabilityArgs:
    credentials, definition = complete_credentials(), LOCAL_DEFINITION
    return ObservabilityArgs(
        environment="local",
        namespace=OBSERVABILITY_NAMESPACE,
        node_namespace=NODE_AGENTS_NAMESPACE,
        image="image",
        services_image="image",
        storage_class=definition.storage_class,
        zones=definition.zones,
        sizes=definition.sizes.observability,
        settings=definition.observability,
        password=credentials.observability.password,
        token=credentials.observability.token,
        certificate=credentials.certificates[OBSERVABILITY],
        object_store_certificate=credentials.certificates[OBJECT_STORE_ADMIN],
        ca_bundle=credentials.ca_bundle,
    )


def commands() -> list[Sequence[str]]:
    args = arguments()
    parts = (metrics.part(args), pages.part(args), logs.part(args))
    # Programs in Python have no options.
    containers = [
        container
        for part in parts
        for container in part.containers
        if next(iter(container.command)) != "python3"
    ]
    return [program_of(list(container.command)) for container in (*containers, logs.agent(args))]


def program_of(command: list[str]) -> list[str]:
    """Return a command without the shell that delays it."""
    return command[4:] if command[0] == "sh" else command


@pytest.mark.parametrize("command", commands(), ids=lambda command: command[0])
def test_options_are_known(command: Sequence[str]) -> None:
    program, *options = command
    result = subprocess.run([program, "--help"], capture_output=True, text=True, check=False, timeout=60)
    known = set(re.findall(r"^\s+-{1,2}([\w.-]+)", result.stdout + result.stderr, re.MULTILINE))
    assert {option.lstrip("-").partition("=")[0] for option in options} - known == set()
