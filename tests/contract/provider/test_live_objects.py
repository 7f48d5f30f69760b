"""The digest of the live objects: equal after an unchanged deploy, different after whatever a refresh finds."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pulumi_kubernetes as k8s
import pytest
from kubernetes import client

from infra.live_objects import objects_digest
from infra.names import PART_OF_LABEL, PRODUCT

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.pulumi_engine import PulumiEngine
    from infra.progress import RecordedStep
    from tests.servers.apiserver import ApiServer

pytestmark = [
    pytest.mark.contract,
    # The SDK leaves pipes of its event server to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    # The Kubernetes client calls what urllib3 is about to remove.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]
OURS = {PART_OF_LABEL: PRODUCT}
Change = tuple[str, "Callable[[client.ApiClient, str], object]"]


def declare(namespace: str) -> None:
    """Declare objects with our label."""
    meta = {"namespace": namespace, "labels": OURS, "annotations": {"pulumi.com/skipAwait": "true"}}
    k8s.core.v1.ConfigMap("m", metadata={**meta, "name": "m"}, data={"key": "one"})
    k8s.core.v1.Secret("s", metadata={**meta, "name": "s"}, string_data={"key": "one"})
    k8s.core.v1.Service("svc", metadata={**meta, "name": "svc"}, spec={"ports": [{"port": 80}]})
    container = {"name": "main", "image": "web:1"}
    template = {"metadata": {"labels": OURS}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": OURS}, "template": template}
    k8s.apps.v1.Deployment("d", metadata={**meta, "name": "d"}, spec=spec)


def core(api: client.ApiClient) -> Any:
    return client.CoreV1Api(api)


def further_endpoints(api: client.ApiClient, namespace: str) -> None:
    """Create an object with our label that the engine does not manage, as Patroni does."""
    core(api).create_namespaced_endpoints(namespace, {"metadata": {"name": "svc-config", "labels": OURS}})


IRRELEVANT: list[Change] = [
    (
        "status",
        lambda api, namespace: client.AppsV1Api(api).patch_namespaced_deployment_status(
            "d", namespace, {"status": {"replicas": 1}}
        ),
    ),
    ("object of another writer", further_endpoints),
]
RELEVANT: list[Change] = [
    ("data", lambda api, ns: core(api).patch_namespaced_config_map("m", ns, {"data": {"key": "two"}})),
    ("secret", lambda api, ns: core(api).patch_namespaced_secret("s", ns, {"stringData": {"key": "two"}})),
    (
        "replicas",
        lambda api, ns: client.AppsV1Api(api).patch_namespaced_deployment("d", ns, {"spec": {"replicas": 2}}),
    ),
    (
        "label",
        lambda api, ns: core(api).patch_namespaced_service("svc", ns, {"metadata": {"labels": {"a": "b"}}}),
    ),
    ("deleted", lambda api, ns: core(api).delete_namespaced_service("svc", ns)),
]


def test_digest_changes_with_every_drift_and_with_nothing_else(
    engine: PulumiEngine, api: client.ApiClient, server: ApiServer, step: RecordedStep, namespace: str
) -> None:
    program = partial(declare, namespace)
    assert engine.up("data", program, step).counts == {"create": 5}
    deployed = objects_digest(server.kubeconfig)
    for name, change in IRRELEVANT:
        change(api, namespace)
        assert objects_digest(server.kubeconfig) == deployed, name
    assert engine.up("data", program, step).counts == {"same": 5}
    assert objects_digest(server.kubeconfig) == deployed
    for name, change in RELEVANT:
        change(api, namespace)
        assert objects_digest(server.kubeconfig) != deployed, name
        engine.up("data", program, step)
        # Not necessarily the same again: a label of another writer stays.
        deployed = objects_digest(server.kubeconfig)
