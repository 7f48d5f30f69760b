"""Finds out whether a cluster enforces NetworkPolicies: many network plugins accept and ignore them.

A pod of the platform's own image connects to another one until a policy isolates that one. The check leaves
nothing behind: its objects carry the label of a fault, and its pods end by their own deadline.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from kubernetes import client

from chaos.faults.kubectl import FAULT_LABEL, new_fault_id
from infra.kubernetes import API_ERRORS, get_text
from infra.names import DATA_NAMESPACE, PART_OF_LABEL, PRODUCT, SERVICES_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_SECONDS = 90.0
_POLL_INTERVAL_SECONDS = 0.5
_PORT = 8080
_NOT_ENFORCED = 4
_DROPPED_CONNECTIONS = 5
_SERVER = ("python3", "-I", "-m", "http.server", str(_PORT), "--directory", "/run")
_CLIENT = f"""\
import socket, sys, time
def connects():
    try:
        socket.create_connection((sys.argv[1], {_PORT}), 2).close()
        return True
    except OSError:
        return False
def wait(expected, repetitions, seconds, code):
    deadline = time.monotonic() + seconds
    hits = 0
    while hits < repetitions:
        if time.monotonic() > deadline:
            sys.exit(code)
        hits = hits + 1 if connects() == expected else 0
        time.sleep(0.3)
wait(True, 1, 30, 3)
print("connected", flush=True)
wait(False, {_DROPPED_CONNECTIONS}, 30, {_NOT_ENFORCED})
"""
"""Ends with 0 when all connections are dropped after they were possible; a single one proves nothing."""


def find_problem(api: client.ApiClient, image: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> str:
    """Return why a NetworkPolicy would have no effect; empty if the cluster enforces them.

    Args:
        api: client of the cluster.
        image: image of the platform with Python.
        timeout_seconds: limit of the check; without a result until then, policies count as not enforced.
    """
    fault_id = new_fault_id()
    try:
        if allowing := _allowing_policies(api):
            return f"NetworkPolicies add up: {', '.join(allowing)} may allow what a fault shall drop"
        return _Probe(api, image, fault_id, time.monotonic() + timeout_seconds).run()
    except TimeoutError as error:
        return f"it is not known whether the cluster enforces NetworkPolicies: {error}"
    except API_ERRORS as error:
        return f"it cannot be checked whether the cluster enforces NetworkPolicies: {str(error)[:200]}"
    finally:
        _remove(api, fault_id)


def _allowing_policies(api: client.ApiClient) -> list[str]:
    """Return the policies of others that permit connections in the namespaces of the platform."""
    networking = client.NetworkingV1Api(api)
    return [
        f"{namespace}/{policy.metadata.name}"
        for namespace in (DATA_NAMESPACE, SERVICES_NAMESPACE)
        for policy in networking.list_namespaced_network_policy(
            namespace, label_selector=f"!{FAULT_LABEL}"
        ).items
        if policy.spec.ingress or policy.spec.egress
    ]


class _Probe:
    def __init__(self, api: client.ApiClient, image: str, fault_id: str, deadline: float) -> None:
        self._api = api
        self._core = client.CoreV1Api(api)
        self._image = image
        self._fault_id = fault_id
        self._deadline = deadline

    def run(self) -> str:
        server = self._start("server", _SERVER)
        address = self._wait("the server has no address", lambda: self._running_address(server))
        probe = self._start("client", ("python3", "-I", "-c", _CLIENT, address))
        self._wait("the client does not connect", lambda: self._log(probe) or self._exit_code(probe))
        self._isolate()
        self._wait("the client does not end", lambda: self._exit_code(probe))
        code = self._exit_code(probe)
        if code == "0" and self._running_address(server):
            return ""
        if code == str(_NOT_ENFORCED):
            return "the network plugin of the cluster does not enforce NetworkPolicies"
        return f"the check of NetworkPolicies failed: its client ended with code {code}"

    def _start(self, role: str, command: tuple[str, ...]) -> str:
        name = f"esq-policy-probe-{role}-{self._fault_id}"
        container = {
            "name": "probe",
            "image": self._image,
            "command": list(command),
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        spec = {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": int(TIMEOUT_SECONDS),
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        }
        body = {"metadata": {"name": name, "labels": self._labels(role)}, "spec": spec}
        self._core.create_namespaced_pod(SERVICES_NAMESPACE, body)
        return name

    def _labels(self, role: str) -> dict[str, str]:
        return {PART_OF_LABEL: PRODUCT, FAULT_LABEL: self._fault_id, "esq/policy-probe": role}

    def _isolate(self) -> None:
        labels = self._labels("server")
        spec = {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"]}
        body = {"metadata": {"name": f"esq-policy-probe-{self._fault_id}", "labels": labels}, "spec": spec}
        client.NetworkingV1Api(self._api).create_namespaced_network_policy(SERVICES_NAMESPACE, body)

    def _running_address(self, pod: str) -> str:
        status = self._core.read_namespaced_pod_status(pod, SERVICES_NAMESPACE).status
        return str(status.pod_ip or "") if status.phase == "Running" else ""

    def _exit_code(self, pod: str) -> str:
        """Return the exit code of a pod; empty while it runs."""
        status = self._core.read_namespaced_pod_status(pod, SERVICES_NAMESPACE).status
        ended = [
            entry.state.terminated for entry in status.container_statuses or () if entry.state.terminated
        ]
        return str(ended[0].exit_code) if ended else ""

    def _log(self, pod: str) -> str:
        status: Any = self._core.read_namespaced_pod_status(pod, SERVICES_NAMESPACE).status
        if status.phase == "Pending":
            return ""
        return get_text(self._api, f"/api/v1/namespaces/{SERVICES_NAMESPACE}/pods/{pod}/log")

    def _wait(self, problem: str, read: Callable[[], str]) -> str:
        while not (value := read()):
            if time.monotonic() > self._deadline:
                raise TimeoutError(problem)
            time.sleep(_POLL_INTERVAL_SECONDS)
        return value


def _remove(api: client.ApiClient, fault_id: str) -> None:
    selector = f"{FAULT_LABEL}={fault_id}"
    try:
        client.NetworkingV1Api(api).delete_collection_namespaced_network_policy(
            SERVICES_NAMESPACE, label_selector=selector
        )
        client.CoreV1Api(api).delete_collection_namespaced_pod(SERVICES_NAMESPACE, label_selector=selector)
    except API_ERRORS:
        return  # the pods have a deadline, and the policy selects only them
