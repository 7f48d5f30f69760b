"""Objects whose creation was pending when the engine was killed: the next deploy takes them over."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pulumi_kubernetes as k8s
import pytest
from kubernetes import client

from infra.errors import ProblemsError
from infra.names import PART_OF_LABEL, PRODUCT

if TYPE_CHECKING:
    from cli.pulumi_engine import PulumiEngine
    from infra.progress import RecordedStep

pytestmark = [
    pytest.mark.contract,
    # The SDK leaves pipes of its event server to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    # The Kubernetes client calls what urllib3 is about to remove.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]

OURS = {PART_OF_LABEL: PRODUCT}


def objects(namespace: str, labels: dict[str, str], image: str = "web:1") -> None:
    """Declare objects with generated and fixed names, some of which cannot be changed."""
    skip = {"pulumi.com/skipAwait": "true"}
    meta = {"namespace": namespace, "labels": labels, "annotations": skip}
    pod = {"containers": [{"name": "main", "image": image}], "restartPolicy": "Never"}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {**pod, "restartPolicy": "Always"}}
    storage = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}
    members = {
        "replicas": 3,
        "serviceName": "web",
        "selector": {"matchLabels": {"app": "web"}},
        "template": template,
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": storage}],
    }
    k8s.core.v1.ConfigMap("generated", metadata=meta, data={"key": "one"})
    k8s.core.v1.Secret("s", metadata={**meta, "name": "s"}, string_data={"word": "open sesame"})
    k8s.apps.v1.StatefulSet("ss", metadata={**meta, "name": "ss"}, spec=members)
    # Its replacement has the same name: a deletion in the foreground would leave it to the garbage collector,
    # and without waiting the replacement may come first.
    in_background = {**skip, "pulumi.com/deletionPropagationPolicy": "background"}
    job = {**meta, "name": "j", "annotations": in_background}
    k8s.batch.v1.Job("j", metadata=job, spec={"template": {"metadata": {}, "spec": pod}})
    k8s.scheduling.v1.PriorityClass("p", metadata={"name": namespace, "labels": labels}, value=1000)


def interrupt_creations(engine: PulumiEngine) -> None:
    """Change the state to that of an engine which was killed after it had created all objects."""
    # An import of the state would drop pending operations.
    file = engine.environment.folder / "backend/.pulumi/stacks/esq/local-data.json"
    document = json.loads(file.read_text())
    state = document["checkpoint"]["latest"]
    created = [entry for entry in state["resources"] if entry["type"].startswith("kubernetes:")]
    state["resources"] = [entry for entry in state["resources"] if entry not in created]
    pending = [{key: entry[key] for key in entry if key not in {"id", "outputs"}} for entry in created]
    state["pending_operations"] = [{"type": "creating", "resource": entry} for entry in pending]
    file.write_text(json.dumps(document))


def config_maps(api: client.ApiClient, namespace: str) -> list[str]:
    names = [
        entry.metadata.name for entry in client.CoreV1Api(api).list_namespaced_config_map(namespace).items
    ]
    return [name for name in names if name.startswith("generated-")]


def uids(api: client.ApiClient, namespace: str) -> list[str]:
    stateful_set = client.AppsV1Api(api).read_namespaced_stateful_set("ss", namespace)
    job = client.BatchV1Api(api).read_namespaced_job("j", namespace)
    return [stateful_set.metadata.uid, job.metadata.uid]


def test_pending_creations_of_ours_are_adopted_without_a_change(
    engine: PulumiEngine, step: RecordedStep, namespace: str, api: client.ApiClient
) -> None:
    program = partial(objects, namespace, OURS)
    engine.up("data", program, step)
    before = uids(api, namespace), config_maps(api, namespace)
    interrupt_creations(engine)
    assert engine.recover("data") == "5 pending operations settled, 5 objects adopted"
    unchanged = engine.up("data", program, step)
    assert (unchanged.changes, unchanged.warnings) == ((), ())
    assert (uids(api, namespace), config_maps(api, namespace)) == before
    assert engine.drift("data", step).changes == ()
    state: Any = engine.workspace.export_state("data")
    assert "open sesame" not in str(state)
    assert "b3BlbiBzZXNhbWU=" not in str(state)
    assert engine.destroy("data", step).counts == {"delete": 6}
    assert config_maps(api, namespace) == []


def test_adopted_objects_follow_a_changed_program(
    engine: PulumiEngine, step: RecordedStep, namespace: str, api: client.ApiClient
) -> None:
    engine.up("data", partial(objects, namespace, OURS), step)
    interrupt_creations(engine)
    engine.recover("data")
    changed = engine.up("data", partial(objects, namespace, OURS, image="web:2"), step)
    assert ("Job j", "replace") in {(change.resource, change.operation) for change in changed.changes}
    assert "StatefulSet ss" in {change.resource for change in changed.changes}
    job = client.BatchV1Api(api).read_namespaced_job("j", namespace)
    assert job.spec.template.spec.containers[0].image == "web:2"


def test_objects_that_do_not_exist_are_created(
    engine: PulumiEngine, step: RecordedStep, namespace: str, api: client.ApiClient
) -> None:
    program = partial(objects, namespace, OURS)
    engine.up("data", program, step)
    interrupt_creations(engine)
    client.CoreV1Api(api).delete_namespaced_config_map(config_maps(api, namespace)[0], namespace)
    assert engine.recover("data") == "5 pending operations settled, 4 objects adopted"
    assert engine.up("data", program, step).counts == {"create": 1, "same": 5}


def test_objects_without_our_label_are_named_and_kept(
    engine: PulumiEngine, step: RecordedStep, namespace: str
) -> None:
    engine.up("data", partial(objects, namespace, {"app": "foreign"}), step)
    interrupt_creations(engine)
    before = engine.workspace.export_state("data")
    with pytest.raises(ProblemsError, match="exist and are not ours") as error:
        engine.recover("data")
    locations = {problem.location for problem in error.value.problems}
    assert {f"StatefulSet {namespace}/ss", f"Job {namespace}/j", f"PriorityClass {namespace}"} <= locations
    assert len(locations) == 5
    assert engine.workspace.export_state("data") == before
