"""Replacement of a Secret's values in a real API server, and a restore in every state that it can find."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from chaos import secret_swap
from chaos.faults.kubectl import FAULT_LABEL
from infra.names import NAME_LABEL

if TYPE_CHECKING:
    from kubernetes import client

pytestmark = [
    pytest.mark.contract,
    # The Kubernetes client calls what urllib3 is about to remove.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]

NAME = "contacts-api"


@pytest.fixture
def _secrets(core: client.CoreV1Api, namespace: str) -> None:
    for name in (NAME, "of-others"):
        core.create_namespaced_secret(namespace, {"metadata": {"name": name}, "stringData": {"url": "valid"}})


def _start_pod(core: client.CoreV1Api, namespace: str, name: str, workload: str) -> None:
    spec = {"containers": [{"name": name, "image": "registry.example/esq"}]}
    core.create_namespaced_pod(
        namespace, {"metadata": {"name": name, "labels": {NAME_LABEL: workload}}, "spec": spec}
    )


def _values(core: client.CoreV1Api, namespace: str) -> dict[str, str]:
    secrets = core.list_namespaced_secret(namespace).items
    return {item.metadata.name: base64.b64decode(item.data["url"]).decode() for item in secrets}


def _pods(core: client.CoreV1Api, namespace: str) -> list[str]:
    return sorted(pod.metadata.name for pod in core.list_namespaced_pod(namespace).items)


@pytest.mark.usefixtures("_secrets")
def test_swap_is_restored_twice_with_the_pods_that_started_in_between(
    core: client.CoreV1Api, namespace: str
) -> None:
    _start_pod(core, namespace, "first", NAME)
    _start_pod(core, namespace, "bystander", "other")
    secret_swap.swap(core, namespace, NAME, NAME, {"url": "wrong"})
    assert _values(core, namespace) == {NAME: "wrong", f"{NAME}-before-chaos": "valid", "of-others": "valid"}
    assert core.list_namespaced_secret(namespace, label_selector=FAULT_LABEL).items
    assert _pods(core, namespace) == ["bystander"]
    _start_pod(core, namespace, "second", NAME)
    for _ in range(2):
        secret_swap.restore(core, namespace, NAME, NAME)
        assert _values(core, namespace) == {NAME: "valid", "of-others": "valid"}
        assert _pods(core, namespace) == ["bystander"]


@pytest.mark.usefixtures("_secrets")
def test_restore_without_a_swap_changes_nothing(core: client.CoreV1Api, namespace: str) -> None:
    _start_pod(core, namespace, "first", NAME)
    secret_swap.restore(core, namespace, NAME, NAME)
    assert _values(core, namespace) == {NAME: "valid", "of-others": "valid"}
    assert _pods(core, namespace) == ["first"]


@pytest.mark.usefixtures("_secrets")
def test_restore_of_a_secret_that_is_gone_removes_the_copy(core: client.CoreV1Api, namespace: str) -> None:
    secret_swap.swap(core, namespace, NAME, NAME, {"url": "wrong"})
    core.delete_namespaced_secret(NAME, namespace)
    secret_swap.restore(core, namespace, NAME, NAME)
    assert _values(core, namespace) == {"of-others": "valid"}
