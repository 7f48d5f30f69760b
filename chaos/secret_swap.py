"""Replace values of a Secret by invalid ones, and restore them, for a pod that starts in between.

The original is stored in the cluster in a copy beside the Secret, so that no secret is written to a journal.
The copy has the label of a fault. Repeating a restore is harmless, also when the Secret or its pods are gone.
The new values (a private key, for example) are not arguments, which every user of the host can read: they are
in a file that the program deletes as soon as it has read it.

    python -m chaos.secret_swap swap KUBECONFIG NAMESPACE DEPLOYMENT SECRET FILE
    python -m chaos.secret_swap restore KUBECONFIG NAMESPACE DEPLOYMENT SECRET
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from chaos.faults.kubectl import FAULT_LABEL
from infra.kubernetes import api_client, get_or_none
from infra.names import NAME_LABEL, PART_OF_LABEL, PRODUCT

_CONFLICT = 409


def swap(
    core_api: client.CoreV1Api, namespace: str, deployment: str, secret: str, values: dict[str, str]
) -> None:
    """Store a copy of `secret`, change `values` in it, and restart one pod of `deployment`.

    Args:
        core_api: Kubernetes client.
        namespace: namespace of the Deployment.
        deployment: name of the Deployment.
        secret: name of its Secret.
        values: new values by key.
    """
    original = core_api.read_namespaced_secret(secret, namespace)
    metadata = client.V1ObjectMeta(
        name=_copy_name(secret), labels={PART_OF_LABEL: PRODUCT, FAULT_LABEL: "secret-swap"}
    )
    copy = client.V1Secret(metadata=metadata, type=original.type, data=original.data)
    try:
        core_api.create_namespaced_secret(namespace, copy)
    except ApiException as error:
        if error.status != _CONFLICT:
            raise
    core_api.patch_namespaced_secret(secret, namespace, {"stringData": values})
    for pod in _pods(core_api, namespace, deployment)[:1]:
        _delete_pod(core_api, pod.metadata.name, namespace)


def restore(core_api: client.CoreV1Api, namespace: str, deployment: str, secret: str) -> None:
    """Restore the stored values, and restart every pod that was created after the swap.

    Args:
        core_api: Kubernetes client.
        namespace: namespace of the Deployment.
        deployment: name of the Deployment.
        secret: name of its Secret.
    """
    copy = get_or_none(lambda: core_api.read_namespaced_secret(_copy_name(secret), namespace))
    if copy is None:
        return
    get_or_none(lambda: core_api.patch_namespaced_secret(secret, namespace, {"data": copy.data}))
    for pod in _pods(core_api, namespace, deployment):
        if pod.metadata.creation_timestamp >= copy.metadata.creation_timestamp:
            _delete_pod(core_api, pod.metadata.name, namespace)
    get_or_none(lambda: core_api.delete_namespaced_secret(_copy_name(secret), namespace))


def _copy_name(secret: str) -> str:
    return f"{secret}-before-chaos"


def _pods(core_api: client.CoreV1Api, namespace: str, deployment: str) -> list[client.V1Pod]:
    pods = core_api.list_namespaced_pod(namespace, label_selector=f"{NAME_LABEL}={deployment}").items
    return sorted(pods, key=lambda pod: str(pod.metadata.name))


def _delete_pod(core_api: client.CoreV1Api, name: str, namespace: str) -> None:
    """Delete a pod; one that is gone needs no restart."""
    get_or_none(lambda: core_api.delete_namespaced_pod(name, namespace))


def _read_and_delete(file: Path) -> dict[str, str]:
    values: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    return values


def main(
    action: str, kubeconfig: str, namespace: str, deployment: str, secret: str, *values_file: str
) -> None:
    """Run the command line.

    Args:
        action: `swap` or `restore`.
        kubeconfig: path of the kubeconfig.
        namespace: namespace of the Deployment.
        deployment: name of the Deployment.
        secret: name of its Secret.
        values_file: for `swap`: file with the new values by key, as one JSON object; it is deleted.
    """
    values = _read_and_delete(Path(values_file[0])) if values_file else {}
    core_api = client.CoreV1Api(api_client(Path(kubeconfig)))
    if action == "swap":
        swap(core_api, namespace, deployment, secret, values)
    else:
        restore(core_api, namespace, deployment, secret)


if __name__ == "__main__":
    main(*sys.argv[1:])
