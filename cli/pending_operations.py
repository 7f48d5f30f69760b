"""Operations that a killed run left unfinished in the state of a stack, settled by a look at the cluster.

A resource whose creation was pending may or may not exist. If its object exists with our label, it becomes
part of the state, and the next deploy refreshes and corrects it; if it does not exist, the deploy creates it.
An object without our label belongs to somebody else. Other operations concern resources of the state.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from kubernetes.client.exceptions import ApiException

from infra.errors import Problem, ProblemsError
from infra.kubernetes import api_client, get_json, to_esq_error
from infra.live_objects import FIELD_MANAGER_PREFIX
from infra.names import PART_OF_LABEL, PRODUCT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kubernetes.client import ApiClient

_TYPE_PREFIX = "kubernetes:"
_NOT_FOUND = 404

Manifest = dict[str, Any]


def resolve_pending_operations(state: Manifest, kubeconfig: Path) -> str:
    """Settle all pending operations of a state, in place.

    Args:
        state: exported state of a stack.
        kubeconfig: the cluster of the stack.

    Returns:
        What was settled, for people; empty without pending operations.

    Raises:
        ProblemsError: objects exist that are not ours; the state is unchanged.
        EsqError: the cluster does not respond.
    """
    operations = state.get("pending_operations") or []
    if not operations:
        return ""
    creations = [operation["resource"] for operation in operations if operation["type"] == "creating"]
    adopted = _adopted(creations, kubeconfig)
    state["resources"] = _with_adopted(state.get("resources", []), adopted)
    state.pop("pending_operations")
    return f"{len(operations)} pending operations settled, {len(adopted)} objects adopted"


def _with_adopted(resources: list[Manifest], adopted: list[Manifest]) -> list[Manifest]:
    """Return the resources of a state with the adopted ones, each in the place of the one that it replaces.

    A state has one resource of a URN, in an order in which dependencies come first, and any number that are
    to be deleted. A resource with a pending replacement is deleted already; another one with another object
    remains to be deleted.
    """
    remaining = {resource["urn"]: resource for resource in adopted}
    ids = {urn: resource["id"] for urn, resource in remaining.items()}
    merged: list[Manifest] = []
    for resource in resources:
        urn = resource["urn"]
        if urn in remaining:
            merged.append(remaining.pop(urn))
        if urn not in ids or resource.get("delete"):
            merged.append(resource)
        elif not resource.get("pendingReplacement") and resource.get("id") != ids[urn]:
            merged.append({**resource, "delete": True})
    return [*merged, *remaining.values()]


def _adopted(creations: list[Manifest], kubeconfig: Path) -> list[Manifest]:
    manifests = [resource for resource in creations if _is_object(resource)]
    if not manifests:
        return []
    with closing(api_client(kubeconfig)) as api:
        pairs = [(resource, _live_object(api, resource["inputs"])) for resource in manifests]
    existing = [(resource, live) for resource, live in pairs if live is not None]
    foreign = [live for _, live in existing if not _is_ours(live)]
    if foreign:
        raise ProblemsError(
            "an interrupted deploy was about to create objects that exist and are not ours",
            [_foreign_object(live) for live in foreign],
        )
    return [_as_created(resource, live) for resource, live in existing]


def _is_object(resource: Manifest) -> bool:
    """Return whether a resource is a Kubernetes object; Helm releases and providers are not."""
    metadata = resource.get("inputs", {}).get("metadata")
    return resource["type"].startswith(_TYPE_PREFIX) and isinstance(metadata, dict) and "name" in metadata


def _live_object(api: ApiClient, manifest: Mapping[str, Any]) -> Manifest | None:
    version, kind = manifest["apiVersion"], manifest["kind"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    metadata = manifest["metadata"]
    try:
        resources = get_json(api, base)["resources"]
        resource = next(entry for entry in resources if entry["kind"] == kind and "/" not in entry["name"])
        namespace = f"/namespaces/{metadata.get('namespace', 'default')}" if resource["namespaced"] else ""
        return get_json(api, f"{base}{namespace}/{resource['name']}/{metadata['name']}")
    except StopIteration:
        return None
    except ApiException as error:
        if error.status == _NOT_FOUND:
            return None
        raise to_esq_error(error) from error


def _is_ours(live: Manifest) -> bool:
    labels: Mapping[str, str] = live["metadata"].get("labels") or {}
    return labels.get(PART_OF_LABEL) == PRODUCT


def _as_created(resource: Manifest, live: Manifest) -> Manifest:
    """Return the resource as the engine saves it after its creation; the next refresh reads the rest.

    The field manager owns the fields that the killed run has set. Without its name, the provider would choose
    another one, and fields that a later program omits would stay.
    """
    metadata = live["metadata"]
    managers = [entry["manager"] for entry in metadata.get("managedFields", [])]
    manager = next((name for name in managers if name.startswith(FIELD_MANAGER_PREFIX)), None)
    own_fields = {"__initialApiVersion": live["apiVersion"]} | (
        {"__fieldManager": manager} if manager else {}
    )
    namespace = f"{metadata['namespace']}/" if "namespace" in metadata else ""
    return {**resource, "id": namespace + metadata["name"], "outputs": {**resource["inputs"], **own_fields}}


def _foreign_object(live: Manifest) -> Problem:
    metadata = live["metadata"]
    name = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
    return Problem(
        f"exists without the label {PART_OF_LABEL}={PRODUCT}",
        f"{live['kind']} {name}",
        "Delete or rename it, or give it the label if esq may take it over; then repeat the command.",
    )
