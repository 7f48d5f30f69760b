"""What the programs of this repository rely on in the official provider, against a real API server.

There is no node: pods never run.
"""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
from kubernetes import client

from cli.actions.deploy_history import parse_run
from cli.engine_results import DeployFailedError
from infra.errors import UsageError
from infra.names import PART_OF_LABEL, PRODUCT
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from cli.pulumi_engine import PulumiEngine
    from infra.progress import RecordedStep
    from tests.servers.provider import ChildDeploy

pytestmark = [
    pytest.mark.contract,
    # The SDK leaves pipes of its event server to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    # The Kubernetes client calls what urllib3 is about to remove.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]

Manifest = dict[str, Any]
LABELS = {"app": "web"}
CHART = {
    "Chart.yaml": "apiVersion: v2\nname: chart\nversion: 1.0.0\n",
    "templates/map.yaml": 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-chart}\ndata: {key: "{{ .Values.key }}"}\n',
}
KUSTOMIZATION = {
    "kustomization.yaml": "resources: [map.yaml]\n",
    "map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-kustomize}\ndata: {key: one}\n",
}


def pod_template() -> Manifest:
    limits = {"cpu": "1000m", "memory": "0.5Gi"}
    container = {"name": "main", "image": "web:1", "resources": {"limits": limits}}
    return {"metadata": {"labels": LABELS}, "spec": {"containers": [container], "volumes": []}}


def objects_of_each_kind(namespace: str, replicas: int = 1) -> None:
    """Declare an object of each kind that the platform is made of; quantities are not in canonical form."""
    meta = {"namespace": namespace, "annotations": {"pulumi.com/skipAwait": "true"}}
    template, selector = pod_template(), {"matchLabels": LABELS}
    storage = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}
    claim = {"metadata": {"name": "data"}, "spec": storage}
    job = {"metadata": {}, "spec": {**template["spec"], "restartPolicy": "Never"}}
    k8s.core.v1.ConfigMap("autonamed", metadata={"namespace": namespace}, data={"key": "one"})
    k8s.core.v1.Secret("s", metadata={**meta, "name": "s"}, string_data={"word": "open sesame"})
    k8s.core.v1.ServiceAccount("sa", metadata={**meta, "name": "sa"})
    ports = [{"port": 80, "targetPort": 8080}]
    k8s.core.v1.Service("svc", metadata={**meta, "name": "svc"}, spec={"selector": LABELS, "ports": ports})
    web = {"replicas": replicas, "selector": selector, "template": template}
    k8s.apps.v1.Deployment("d", metadata={**meta, "name": "d"}, spec=web)
    members = {**web, "replicas": 3, "serviceName": "svc", "volumeClaimTemplates": [claim]}
    k8s.apps.v1.StatefulSet("ss", metadata={**meta, "name": "ss"}, spec=members)
    budget = {"maxUnavailable": 1, "selector": selector}
    k8s.policy.v1.PodDisruptionBudget("pdb", metadata={**meta, "name": "pdb"}, spec=budget)
    k8s.batch.v1.Job("j", metadata={**meta, "name": "j"}, spec={"template": job, "backoffLimit": 0})
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    k8s.rbac.v1.Role("r", metadata={**meta, "name": "r"}, rules=rules)


def deployment_with_timeout(namespace: str, replicas: int, seconds: int = 600, config_maps: int = 0) -> None:
    """Declare a Deployment that is waited for, after some objects that are not."""
    maps = [
        k8s.core.v1.ConfigMap(
            f"m{index}",
            metadata={"namespace": namespace, "name": f"m{index}", "labels": {PART_OF_LABEL: PRODUCT}},
        )
        for index in range(config_maps)
    ]
    k8s.apps.v1.Deployment(
        "d",
        metadata={"namespace": namespace, "name": "d", "labels": {PART_OF_LABEL: PRODUCT}},
        spec={"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": pod_template()},
        opts=pulumi.ResourceOptions(
            depends_on=maps, custom_timeouts=pulumi.CustomTimeouts(create=f"{seconds}s")
        ),
    )


def replica_count(api: client.ApiClient, namespace: str) -> int:
    return int(client.AppsV1Api(api).read_namespaced_deployment("d", namespace).spec.replicas)


def exists(api: client.ApiClient, namespace: str) -> bool:
    deployments = client.AppsV1Api(api).list_namespaced_deployment(namespace).items
    return [deployment.metadata.name for deployment in deployments] == ["d"]


def test_second_run_changes_nothing_and_secrets_are_encrypted(
    engine: PulumiEngine, step: RecordedStep, namespace: str, tmp_path: Path
) -> None:
    program = partial(objects_of_each_kind, namespace)
    assert engine.up("data", program, step).counts == {"create": 10}
    assert engine.preview("data", program, step).changes == ()
    unchanged = engine.up("data", program, step)
    assert [str(parse_run("data", run)) for run in engine.workspace.history("data", 5)] == [
        "deploy of data: succeeded, 0 changes",
        "deploy of data: succeeded, 10 changes",
    ]
    assert engine.workspace.history("services", 5) == []
    assert unchanged.counts == {"same": 10}
    assert unchanged.warnings == ()
    assert engine.drift("data", step).changes == ()
    state = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert namespace.encode() in state
    assert b"open sesame" not in state
    assert b"b3BlbiBzZXNhbWU=" not in state
    (change,) = engine.up("data", partial(objects_of_each_kind, namespace, replicas=2), step).changes
    assert (change.resource, change.operation) == ("Deployment d", "update")
    assert change.fields == ("spec.replicas",)
    assert engine.destroy("data", step).counts == {"delete": 10}


def configuration(namespace: str, value: str) -> None:
    k8s.core.v1.Secret("s", metadata={"namespace": namespace, "name": "s"}, string_data={"key": value})
    k8s.core.v1.ConfigMap("m", metadata={"namespace": namespace, "name": "m"}, data={"key": value})


def test_changed_configuration_is_updated_in_place_and_never_absent(
    engine: PulumiEngine, api: client.ApiClient, step: RecordedStep, namespace: str
) -> None:
    core = client.CoreV1Api(api)

    def uids() -> set[str]:
        objects = (
            core.read_namespaced_secret("s", namespace),
            core.read_namespaced_config_map("m", namespace),
        )
        return {item.metadata.uid for item in objects}

    engine.up("data", partial(configuration, namespace, "old"), step)
    before = uids()
    assert engine.up("data", partial(configuration, namespace, "new"), step).counts["update"] == 2
    assert uids() == before
    assert core.read_namespaced_config_map("m", namespace).data == {"key": "new"}


def test_targets_deploy_only_the_resources_with_these_names(
    engine: PulumiEngine, step: RecordedStep, namespace: str
) -> None:
    program = partial(objects_of_each_kind, namespace)
    for _ in ("preview a new layer", "preview an existing layer"):
        changes = engine.preview("data", program, step, ["sa", "r"]).changes
        assert sorted(change.resource for change in changes) == ["Role r", "ServiceAccount sa"]
        assert engine.up("data", program, step, ["svc"]).counts.keys() <= {"create", "same"}
    # The Service, and the provider itself.
    assert engine.preview("data", program, step).counts == {"create": 8, "same": 2}


class Program(pulumi.ComponentResource):
    """A program with a certificate, and a Job whose name ends with a digest."""

    def __init__(self, name: str, namespace: str) -> None:
        super().__init__("esq:services:Program", name)
        child = pulumi.ResourceOptions(parent=self)
        meta = {"namespace": namespace, "annotations": {"pulumi.com/skipAwait": "true"}}
        for suffix in ("", "-tls"):
            k8s.core.v1.Secret(name + suffix, metadata={**meta, "name": name + suffix}, opts=child)
        pod = {"metadata": {}, "spec": {**pod_template()["spec"], "restartPolicy": "Never"}}
        job = f"{name}-0123abcd"
        k8s.batch.v1.Job(job, metadata={**meta, "name": job}, spec={"template": pod}, opts=child)
        self.register_outputs({})


def two_programs(namespace: str) -> None:
    for name in ("web", "web-admin"):
        Program(name, namespace)


def test_target_includes_the_certificate_and_the_job_of_a_program(
    engine: PulumiEngine, step: RecordedStep, namespace: str
) -> None:
    program = partial(two_programs, namespace)
    changes = engine.up("data", program, step, ["web-admin"]).changes
    assert sorted(change.resource for change in changes) == [
        "Job web-admin-0123abcd",
        "Program web-admin",
        "Secret web-admin",
        "Secret web-admin-tls",
    ]


def test_unknown_target_is_refused_and_close_names_are_listed(
    engine: PulumiEngine, step: RecordedStep, namespace: str
) -> None:
    program = partial(two_programs, namespace)
    for run in (engine.preview, engine.up):
        with pytest.raises(UsageError, match="layer data has no resource wbe"):
            run("data", program, step, ["wbe"])
    engine.up("data", program, step)
    with pytest.raises(UsageError, match="has no resource web-admni") as error:
        engine.preview("data", program, step, ["web", "web-admni"])
    assert "web-admin" in (error.value.remedy or "")
    assert engine.preview("data", program, step, ["web"]).changes == ()


def test_preview_of_destroy_deletes_nothing(engine: PulumiEngine, step: RecordedStep, namespace: str) -> None:
    assert engine.preview_destroy("data", step).changes == ()
    program = partial(objects_of_each_kind, namespace)
    engine.up("data", program, step)
    result = engine.preview_destroy("data", step)
    assert result.counts == {"delete": 10}
    assert "Deployment d" in [change.resource for change in result.changes]
    assert engine.up("data", program, step).counts == {"same": 10}


def test_manual_scaling_is_drift_and_the_next_deploy_reverts_it(
    engine: PulumiEngine, step: RecordedStep, namespace: str, api: client.ApiClient
) -> None:
    program = partial(objects_of_each_kind, namespace)
    engine.up("data", program, step)
    scale = client.AppsV1Api(api).patch_namespaced_deployment_scale
    scale("d", namespace, {"spec": {"replicas": 5}}, field_manager="kubectl")
    assert [change.resource for change in engine.drift("data", step).changes] == ["Deployment d"]
    assert replica_count(api, namespace) == 5
    engine.up("data", program, step)
    assert replica_count(api, namespace) == 1


def test_rejected_object_raises_with_the_message_of_the_server(
    engine: PulumiEngine, step: RecordedStep, namespace: str
) -> None:
    with pytest.raises(DeployFailedError) as error:
        engine.up("data", partial(objects_of_each_kind, namespace, replicas=-1), step)
    assert "must be greater than or equal to 0" in error.value.detail


def failing_pod(api: client.ApiClient, namespace: str) -> None:
    """Create a pod of the Deployment with the status that a kubelet gives to a bad image, and an event."""
    core = client.CoreV1Api(api)
    core.create_namespaced_pod(
        namespace, {"metadata": {"name": "d-0", "labels": LABELS}, "spec": pod_template()["spec"]}
    )
    container = {
        "name": "main",
        "image": "web:1",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
    }
    status = {"phase": "Pending", "containerStatuses": [container]}
    core.patch_namespaced_pod_status("d-0", namespace, {"status": status})
    involved = {"kind": "Pod", "namespace": namespace, "name": "d-0"}
    core.create_namespaced_event(
        namespace,
        {
            "metadata": {"name": "d-0"},
            "involvedObject": involved,
            "type": "Warning",
            "reason": "Failed",
            "message": "manifest unknown",
        },
    )


def test_object_that_is_not_ready_is_explained_by_its_pods_and_fixed_by_the_next_run(
    engine: PulumiEngine, step: RecordedStep, namespace: str, api: client.ApiClient
) -> None:
    failing_pod(api, namespace)
    with pytest.raises(DeployFailedError, match="Deployment d") as error:
        engine.up("data", partial(deployment_with_timeout, namespace, 1, seconds=3), step)
    assert "[Pod d-0/main]: ImagePullBackOff: no such image" in error.value.detail
    assert "Failed: manifest unknown" in error.value.detail
    # No pod ever runs here, so the fixed program wants none.
    assert engine.up("data", partial(deployment_with_timeout, namespace, 0), step).counts == {
        "same": 1,
        "update": 1,
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_to_esq_alone_stops_the_engine_and_the_next_run_continues(  # noqa: PLR0913, PLR0917 - fixtures
    engine: PulumiEngine,
    step: RecordedStep,
    namespace: str,
    api: client.ApiClient,
    child_deploy: ChildDeploy,
    number: signal.Signals,
) -> None:
    child = child_deploy.start(partial(deployment_with_timeout, namespace, 1))
    wait_until("the Deployment", lambda: exists(api, namespace), 60)
    time.sleep(1)
    assert child.pid is not None
    os.kill(child.pid, number)
    child.join(30)
    assert child.exitcode == 1
    assert not list((engine.environment.folder / "backend/.pulumi/locks").rglob("*.json"))
    engine.up("data", partial(deployment_with_timeout, namespace, 0), step)
    assert replica_count(api, namespace) == 0


def test_killed_create_is_continued_and_leaves_no_provider(
    engine: PulumiEngine, step: RecordedStep, namespace: str, api: client.ApiClient, child_deploy: ChildDeploy
) -> None:
    before = child_deploy.provider_pids()
    child = child_deploy.start(partial(deployment_with_timeout, namespace, 1, config_maps=20))
    wait_until("the Deployment", lambda: exists(api, namespace), 60)
    assert child.pid is not None
    os.killpg(child.pid, signal.SIGKILL)
    child.join(10)
    wait_until("the end of its provider", lambda: child_deploy.provider_pids() <= before, 10)
    assert "pending operations settled" in engine.recover("data")
    engine.up("data", partial(deployment_with_timeout, namespace, 0, config_maps=20), step)
    assert replica_count(api, namespace) == 0
    assert (
        len(client.CoreV1Api(api).list_namespaced_config_map(namespace).items) == 21
    )  # one is the cluster's


def test_existing_object_is_imported(
    engine: PulumiEngine, step: RecordedStep, namespace: str, api: client.ApiClient
) -> None:
    core = client.CoreV1Api(api)
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "there"}, "data": {"a": "b"}})

    def program() -> None:
        k8s.core.v1.ConfigMap(
            "there",
            metadata={"namespace": namespace, "name": "there"},
            data={"a": "b"},
            opts=pulumi.ResourceOptions(import_=f"{namespace}/there"),
        )

    assert engine.up("data", program, step).counts.get("import") == 1


def test_helm_charts_and_kustomizations_are_deployed(
    engine: PulumiEngine, step: RecordedStep, namespace: str, api: client.ApiClient, tmp_path: Path
) -> None:
    for folder, files in {"chart": CHART, "kustomization": KUSTOMIZATION}.items():
        for name, text in files.items():
            file = tmp_path / folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def program() -> None:
        k8s.helm.v4.Chart("c", chart=str(tmp_path / "chart"), namespace=namespace, values={"key": "one"})
        k8s.kustomize.v2.Directory("k", directory=str(tmp_path / "kustomization"), namespace=namespace)

    engine.up("data", program, step)
    config_maps = client.CoreV1Api(api).list_namespaced_config_map(namespace).items
    assert {"of-chart", "of-kustomize"} <= {config_map.metadata.name for config_map in config_maps}
