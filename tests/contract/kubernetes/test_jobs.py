"""Following a Job that a real controller runs; the test does the kubelet's part."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from kubernetes import client

from cli.actions.kubernetes_jobs import KubernetesJobs
from infra.errors import EsqError
from infra.kubernetes import api_client
from infra.progress import RecordedStep
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from tests.servers.apiserver import ApiServer

pytestmark = [
    pytest.mark.contract,
    # The Kubernetes client calls what urllib3 is about to remove.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]

NAME = "work"
SUCCESS = '{"succeeded": true}'


def start_job(core: client.CoreV1Api, namespace: str, *, retries: int) -> None:
    container = {"name": "main", "image": "none", "command": ["true"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    body = {"metadata": {"name": NAME}, "spec": {"backoffLimit": retries, "template": template}}
    client.BatchV1Api(core.api_client).create_namespaced_job(namespace, body)


def end_program(core: client.CoreV1Api, namespace: str, message: str = "") -> None:
    """End the program of the running pod: with a result, or failed without one."""

    def pending() -> list[client.V1Pod]:
        return list(core.list_namespaced_pod(namespace, field_selector="status.phase=Pending").items)

    wait_until("a pod", lambda: bool(pending()), 60)
    container = {"name": "main", "image": "none", "imageID": "", "ready": False, "restartCount": 0}
    state = {"terminated": {"exitCode": 0 if message else 1, "message": message}}
    status = {
        "phase": "Succeeded" if message else "Failed",
        "containerStatuses": [{**container, "state": state}],
    }
    core.patch_namespaced_pod_status(pending()[0].metadata.name, namespace, {"status": status})


def test_failed_try_is_not_the_end_of_a_job(
    server: ApiServer, core: client.CoreV1Api, namespace: str
) -> None:
    start_job(core, namespace, retries=3)
    step = RecordedStep("job")
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(
            KubernetesJobs(server.kubeconfig, namespace).wait, NAME, step, 600.0, remedy="none"
        )
        end_program(core, namespace)
        end_program(core, namespace, SUCCESS)
        assert result.result() == {"succeeded": True}
    assert any(status.startswith("try 1 of 4, pod work-") for status in step.statuses)
    assert any(status.startswith("try 2 of 4") for status in step.statuses)


def test_job_that_used_up_its_tries_reports_why(
    server: ApiServer, core: client.CoreV1Api, namespace: str
) -> None:
    start_job(core, namespace, retries=0)
    end_program(core, namespace)
    step = RecordedStep("job")
    with pytest.raises(EsqError, match="ended without a result: Failed: BackoffLimitExceeded") as error:
        KubernetesJobs(server.kubeconfig, namespace).wait(NAME, step, 600.0, remedy="Repeat it.")
    assert error.value.remedy == "Repeat it."


def test_wait_outlasts_an_outage_of_the_api_server(
    server: ApiServer, core: client.CoreV1Api, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(api_client.__kwdefaults__, "retry_seconds", 0.0)
    start_job(core, namespace, retries=0)
    step = RecordedStep("job")
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(
            KubernetesJobs(server.kubeconfig, namespace).wait, NAME, step, 600.0, remedy="none"
        )
        wait_until("the wait to begin", lambda: bool(step.statuses), 60)
        server.kill_apiserver()
        wait_until("the outage to be shown", lambda: "does not answer" in step.statuses[-1], 60)
        server.restart_apiserver()
        end_program(core, namespace, SUCCESS)
        assert result.result() == {"succeeded": True}
