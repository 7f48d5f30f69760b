"""Puts wrong values into a Secret, and the right ones back, for a pod that starts meanwhile.

The original is kept in the cluster, in a copy beside the Secret, so that no secret is ever written into a
journal. Putting back is harmless when it was done already.

    python -m chaos.secrets swap KUBECONFIG NAMESPACE DEPLOYMENT SECRET JSON
    python -m chaos.secrets restore KUBECONFIG NAMESPACE DEPLOYMENT SECRET
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from infra.kubernetes import connect
from infra.names import NAME_LABEL, PART_OF_LABEL, PRODUCT

SECONDS = 10.0
_GONE, _THERE = 404, 409


def swap(
    core: client.CoreV1Api, namespace: str, deployment: str, secret: str, values: dict[str, str]
) -> None:
    """Keep a copy of `secret`, change `values` in it, and let one pod of `deployment` start with that."""
    found = core.read_namespaced_secret(secret, namespace, _request_timeout=SECONDS)
    metadata = client.V1ObjectMeta(name=_kept(secret), labels={PART_OF_LABEL: PRODUCT})
    copy = client.V1Secret(metadata=metadata, type=found.type, data=found.data)
    try:
        core.create_namespaced_secret(namespace, copy, _request_timeout=SECONDS)
    except ApiException as error:
        if error.status != _THERE:
            raise
    core.patch_namespaced_secret(secret, namespace, {"stringData": values}, _request_timeout=SECONDS)
    pods = _pods(core, namespace, deployment)
    core.delete_namespaced_pod(pods[0].metadata.name, namespace, _request_timeout=SECONDS)


def restore(core: client.CoreV1Api, namespace: str, deployment: str, secret: str) -> None:
    """Put the kept values back, and let every pod that started since start again."""
    try:
        kept = core.read_namespaced_secret(_kept(secret), namespace, _request_timeout=SECONDS)
    except ApiException as error:
        if error.status == _GONE:
            return
        raise
    core.patch_namespaced_secret(secret, namespace, {"data": kept.data}, _request_timeout=SECONDS)
    for pod in _pods(core, namespace, deployment):
        if pod.metadata.creation_timestamp >= kept.metadata.creation_timestamp:
            core.delete_namespaced_pod(pod.metadata.name, namespace, _request_timeout=SECONDS)
    core.delete_namespaced_secret(_kept(secret), namespace, _request_timeout=SECONDS)


def _kept(secret: str) -> str:
    return f"{secret}-before-chaos"


def _pods(core: client.CoreV1Api, namespace: str, deployment: str) -> list[client.V1Pod]:
    selector = f"{NAME_LABEL}={deployment}"
    found = core.list_namespaced_pod(namespace, label_selector=selector, _request_timeout=SECONDS).items
    return sorted(found, key=lambda pod: str(pod.metadata.name))


def main(verb: str, kubeconfig: str, namespace: str, deployment: str, secret: str, *values: str) -> None:
    """Do what the command line says."""
    core = client.CoreV1Api(connect(Path(kubeconfig)))
    if verb == "swap":
        swap(core, namespace, deployment, secret, json.loads(values[0]))
    else:
        restore(core, namespace, deployment, secret)


if __name__ == "__main__":
    main(*sys.argv[1:])
