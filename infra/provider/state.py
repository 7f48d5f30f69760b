"""Between the wire and an object: what is kept of it, how an unknown one is described, what is wrong with inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi.runtime.proto import provider_pb2

from infra.provider import check, identity
from infra.provider.kubeconfig import UnreachableError, load
from infra.provider.values import Values, encode

if TYPE_CHECKING:
    from google.protobuf.struct_pb2 import Struct

Object = dict[str, Any]
_READ_INPUTS_WITHOUT = ("status",)
_SERVER_ANNOTATIONS = (
    "deployment.kubernetes.io/revision",
    "kubectl.kubernetes.io/last-applied-configuration",
)


def type_of(urn: str) -> str:
    """Return the type token of a resource, without its parents'."""
    return urn.split("::")[2].rpartition("$")[2]


def another_cluster(old: Object, new: Object) -> bool:
    """Tell whether two sets of provider arguments point to different clusters."""

    def cluster(arguments: Object) -> object:
        try:
            return load(
                arguments.get("kubeconfig", ""), arguments.get("context", ""), arguments.get("cluster", "")
            ).identity
        except UnreachableError:
            return None

    return cluster(old) != cluster(new)


def input_faults(token: str, obj: Object) -> list[provider_pb2.CheckFailure]:
    """Return what is wrong with an object as a program wrote it."""
    metadata = obj.get("metadata") or {}
    faults = []
    if isinstance(metadata, dict) and metadata.get("generateName") and not metadata.get("name"):
        reason = "generateName is not supported with server-side apply: leave it out for a name made of the resource's"
        faults.append(provider_pb2.CheckFailure(property="metadata.generateName", reason=reason))
    if identity.is_patch(token) and not (isinstance(metadata, dict) and metadata.get("name")):
        faults.append(
            provider_pb2.CheckFailure(property="metadata.name", reason="a Patch resource names its object")
        )
    return faults


def detailed(how: str, replacing: bool) -> provider_pb2.PropertyDiff:  # noqa: FBT001 - the second word of the kind
    """Return a difference in the engine's words."""
    name = f"{how.upper()}_REPLACE" if replacing else how.upper()
    return provider_pb2.PropertyDiff(kind=provider_pb2.PropertyDiff.Kind.Value(name), inputDiff=True)


def stored(live: Object, inputs: Values, manager: str, initial: str = "") -> Struct:
    """Return what is kept of an object: all of it but the bookkeeping of field owners, and how it was described."""
    described = inputs.plain
    metadata = {key: each for key, each in live["metadata"].items() if key != "managedFields"}
    state = {
        **live,
        "metadata": metadata,
        "__inputs": described,
        "__initialApiVersion": initial or live["apiVersion"],
        "__fieldManager": manager,
    }
    secrets = check.secret_paths(live, inputs.secrets)
    hidden = {("__inputs", *path) for path in check.secret_paths(described, inputs.secrets)}
    return encode(state, secrets | hidden)


def importable(live: Object) -> Object:
    """Return how an object that nobody described would be described."""
    metadata = {key: each for key, each in live["metadata"].items() if key not in check.READ_ONLY}
    annotations = {
        key: each
        for key, each in (metadata.get("annotations") or {}).items()
        if key not in _SERVER_ANNOTATIONS
    }
    metadata = (
        {**metadata, "annotations": annotations}
        if annotations
        else {k: v for k, v in metadata.items() if k != "annotations"}
    )
    return {
        **{key: each for key, each in live.items() if key not in _READ_INPUTS_WITHOUT},
        "metadata": metadata,
    }
