"""Ending a call with an error: a plain one, or one that says that the object is there and not ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import status_pb2
from pulumi.runtime.proto import provider_pb2

if TYPE_CHECKING:
    from google.protobuf.struct_pb2 import Struct

_DETAILS = "grpc-status-details-bin"


def fail(context: grpc.ServicerContext, message: str) -> NoReturn:
    """End the call; nothing is kept of it."""
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError("abort does not return")


def init_failed(
    context: grpc.ServicerContext, identifier: str, properties: Struct, inputs: Struct, reasons: list[str]
) -> NoReturn:
    """End the call with the object kept in state as not initialised, so that the next run updates it and waits again."""
    detail = any_pb2.Any()
    detail.Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=identifier, properties=properties, inputs=inputs, reasons=reasons
        )
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=reasons[0], details=[detail])
    context.set_trailing_metadata(((_DETAILS, status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, reasons[0])
    raise AssertionError("abort does not return")
