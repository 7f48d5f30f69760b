"""Who an object is: type token, name, namespace, id."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Object = dict[str, Any]

AUTONAMED = "pulumi.com/autonamed"
_SUFFIX_BYTES = 4
_TOKEN_PARTS = 3

CLUSTER_SCOPED = frozenset(
    {
        *(
            "APIService",
            "CSIDriver",
            "CSINode",
            "CertificateSigningRequest",
            "ClusterRole",
            "ClusterRoleBinding",
        ),
        *(
            "CustomResourceDefinition",
            "FlowSchema",
            "IngressClass",
            "MutatingWebhookConfiguration",
            "Namespace",
            "Node",
        ),
        *("PersistentVolume", "PriorityClass", "PriorityLevelConfiguration", "RuntimeClass", "StorageClass"),
        *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration"),
        *("VolumeAttachment",),
    }
)
"""Known without asking, so that a preview needs no cluster."""


class Refused(Exception):  # noqa: N818 - it is the word for what happens
    """This resource cannot be served here; the text says what to do instead."""


def refuse(token: str) -> Refused:
    """Return the refusal of something that only the official plugin does."""
    return Refused(
        f"`{token}` needs the official pulumi-resource-kubernetes plugin (Helm, Kustomize, components); this one manages plain "
        "Kubernetes objects only. Install that plugin, or declare the objects one by one."
    )


def group_version_kind(token: str) -> tuple[str, str]:
    """Return (apiVersion, kind) of a type token such as `kubernetes:apps/v1:Deployment`; `XPatch` is of kind X.

    Raises:
        Refused: Helm, Kustomize, components and List kinds.
    """
    parts = token.split(":")
    if len(parts) != _TOKEN_PARTS or "/" not in parts[1]:
        raise Refused(f"`{token}`: apiVersion does not have both a group and a version")
    module, kind = parts[1], parts[2]
    if module.startswith(("helm.sh/", "kustomize/", "yaml/")):
        raise refuse(token)
    if kind.endswith("List"):
        raise Refused(f"`{token}` is a list: declare a resource of the type it holds")
    return module.removeprefix("core/"), kind.removesuffix("Patch") if is_patch(token) else kind


def is_patch(token: str) -> bool:
    """Tell whether a token is of a Patch resource: fields of an object that somebody else made."""
    return token.endswith("Patch") and not token.endswith(":Patch")


def object_id(obj: Object) -> str:
    """Return `namespace/name`, or `name` when cluster-scoped."""
    metadata = obj["metadata"]
    return (
        f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])
    )


def parse_id(identifier: str) -> tuple[str | None, str]:
    """Return (namespace, name) of an id."""
    namespace, _, name = identifier.rpartition("/")
    return namespace or None, name


def resource_name(urn: str) -> str:
    """Return the name that the program gave a resource."""
    return urn.rpartition("::")[2]


def is_namespaced(kind: str, ask: Callable[[], bool | None]) -> bool:
    """Tell whether objects of a kind live in a namespace; an unknown kind is taken to."""
    if kind in CLUSTER_SCOPED:
        return False
    answer = ask()
    return True if answer is None else answer


def with_name(obj: Object, urn: str, old: Object | None, suffix: Callable[[], str] | None = None) -> Object:
    """Return `obj` with a name: its own, the one it had, or the program's with eight random characters behind it."""
    metadata = dict(obj.get("metadata") or {})
    if metadata.get("name"):
        return {**obj, "metadata": metadata}
    before = (old or {}).get("metadata") or {}
    if (before.get("annotations") or {}).get(AUTONAMED) == "true":
        name = before["name"]
    else:
        name = f"{resource_name(urn)}-{(suffix or _random)()}"
    annotations = {**(metadata.get("annotations") or {}), AUTONAMED: "true"}
    return {**obj, "metadata": {**metadata, "name": name, "annotations": annotations}}


def is_autonamed(obj: Object) -> bool:
    """Tell whether the name of an object was made up here."""
    return ((obj.get("metadata") or {}).get("annotations") or {}).get(AUTONAMED) == "true"


def _random() -> str:
    return secrets.token_hex(_SUFFIX_BYTES)
