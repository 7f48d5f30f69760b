"""The environment stack `<environment>-environment`: no resources, only outputs that outlive the layers.

`record` is plain, `credentials` are a secret, encrypted by the secrets provider of the backend. It is their
only store. The engine holds the stack's lock while the program runs; therefore a program that compares the
outputs with those that its caller has read cannot overwrite the ones of another machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
from pydantic import BaseModel, ConfigDict

from infra.credentials import Credentials
from infra.environment_record import EnvironmentRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

LAYER = "environment"
"""Last part of the stack's name."""


class StoreChangedError(Exception):
    """The stack holds other values than those that a run has read."""


class StoredEnvironment(BaseModel):
    """Everything that an environment keeps for its whole life.

    Attributes:
        record: what the environment is bound to; None before its first deploy.
        credentials: all its credentials.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    record: EnvironmentRecord | None
    credentials: Credentials


def parse_outputs(outputs: Mapping[str, Any]) -> StoredEnvironment | None:
    """Return what the outputs hold; None when they hold no credentials.

    Raises:
        ValidationError: the outputs are of another version of esq.
    """
    if "credentials" not in outputs:
        return None
    record = outputs.get("record")
    return StoredEnvironment(
        record=None if record is None else EnvironmentRecord.model_validate_json(record),
        credentials=Credentials.model_validate_json(outputs["credentials"]),
    )


def read_stored(environment: str) -> StoredEnvironment | None:
    """Return the stored environment from within a program; None when there is none.

    This is the call behind `pulumi.StackReference`, without a resource of its own.
    """
    stack = f"organization/{pulumi.get_project()}/{environment}-{LAYER}"
    result = pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": stack})
    return parse_outputs(result.value["outputs"])


def program(stored: StoredEnvironment, expected: StoredEnvironment | None) -> None:
    """Export the stored environment.

    Args:
        stored: the new values.
        expected: the values that they replace; None when there are none.

    Raises:
        StoreChangedError: the stack holds other values than expected; they are kept.
    """
    environment = pulumi.get_stack().removesuffix(f"-{LAYER}")
    if read_stored(environment) != expected:
        raise StoreChangedError(environment)
    if stored.record is not None:
        # As JSON, like the credentials: the engine omits empty fields.
        pulumi.export("record", stored.record.model_dump_json())
    pulumi.export("credentials", pulumi.Output.secret(stored.credentials.model_dump_json()))
