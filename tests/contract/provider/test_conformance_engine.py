"""Sentences 13 to 18 and the whole life of a program, through the real engine and by comparing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
from pulumi.automation import CommandError

from tests.controllers.provider import Driver, Stack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.contract

Object = dict[str, Any]
SKIP = {"pulumi.com/skipAwait": "true"}


def program(namespace: str, replicas: int = 1) -> Callable[[], None]:
    """Return a program with an object of each kind that the platform is made of."""
    labels = {"app": "web"}
    container = {
        "name": "main",
        "image": "web:1",
        "resources": {"limits": {"cpu": "1000m", "memory": "0.5Gi"}},
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "volumes": []}}
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}},
    }

    def run() -> None:
        meta = {"namespace": namespace, "annotations": SKIP}
        k8s.core.v1.ConfigMap("made", metadata={"namespace": namespace}, data={"key": "one"})
        k8s.core.v1.Secret(
            "s", metadata={"namespace": namespace, "name": "s"}, string_data={"word": "open sesame"}
        )
        k8s.core.v1.ServiceAccount("sa", metadata={"namespace": namespace, "name": "sa"})
        ports = [{"port": 80, "targetPort": 8080}]
        k8s.core.v1.Service(
            "svc", metadata={**meta, "name": "svc"}, spec={"selector": labels, "ports": ports}
        )
        k8s.apps.v1.Deployment(
            "d",
            metadata={**meta, "name": "d"},
            spec={"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
        )
        k8s.apps.v1.StatefulSet(
            "ss",
            metadata={**meta, "name": "ss"},
            spec={
                "serviceName": "svc",
                "replicas": 3,
                "selector": {"matchLabels": labels},
                "template": template,
                "volumeClaimTemplates": [claim],
            },
        )
        k8s.policy.v1.PodDisruptionBudget(
            "pdb",
            metadata={"namespace": namespace, "name": "pdb"},
            spec={"maxUnavailable": 1, "selector": {"matchLabels": labels}},
        )
        job = {"metadata": {}, "spec": {"containers": [container], "restartPolicy": "Never"}}
        k8s.batch.v1.Job("j", metadata={**meta, "name": "j"}, spec={"template": job, "backoffLimit": 0})
        rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
        k8s.rbac.v1.Role("r", metadata={"namespace": namespace, "name": "r"}, rules=rules)

    return run


def test_13_and_14_a_second_run_changes_nothing_and_secrets_stay_secret(
    stack: Stack, namespace: str, tmp_path: Path
) -> None:
    first = stack.up(program(namespace))
    assert first == {"create": 10}
    assert stack.up(program(namespace)) == {"same": 10}
    assert stack.refresh(program(namespace)) == {"same": 10}
    assert stack.preview(program(namespace)) == {"same": 10}
    state = "".join(path.read_text() for path in tmp_path.joinpath("backend").rglob("*.json"))
    assert "t-" in state
    assert "open sesame" not in state
    assert "b3BlbiBzZXNhbWU=" not in state
    assert stack.up(program(namespace, replicas=2)) == {"same": 9, "update": 1}
    stack.destroy()
    assert "apps/v1" not in stack.exported()


def test_a_refused_object_is_told_in_the_servers_words(stack: Stack, namespace: str) -> None:
    with pytest.raises(CommandError, match="must be greater than or equal to 0"):
        stack.up(program(namespace, replicas=-1))


def test_an_object_that_is_there_can_be_read_and_imported(stack: Stack, namespace: str, api: Any) -> None:
    obj = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": namespace, "name": "there"},
        "data": {"a": "b"},
    }
    api.create(api.kind("v1", "ConfigMap"), obj, "someone")

    def imports() -> None:
        k8s.core.v1.ConfigMap(
            "there",
            metadata={"namespace": namespace, "name": "there"},
            data={"a": "b"},
            opts=pulumi.ResourceOptions(import_=f"{namespace}/there"),
        )
        k8s.core.v1.ConfigMap.get("read", f"{namespace}/there")

    assert stack.up(imports).get("import") == 1


def broken(namespace: str, image: str, replicas: int) -> Callable[[], None]:
    """Return a program whose Deployment is waited for, briefly."""
    labels = {"app": "broken"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}

    def run() -> None:
        k8s.apps.v1.Deployment(
            "d",
            metadata={"namespace": namespace, "name": "broken"},
            spec={"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod},
            opts=pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="2s", update="20s")),
        )

    return run


def test_23_and_24_the_engine_keeps_what_is_not_ready_and_updates_it(stack: Stack, namespace: str) -> None:
    with pytest.raises(CommandError, match="was created and is not ready"):
        stack.up(broken(namespace, "no/such:1", 1))
    kept = stack.exported()
    assert f"{namespace}/broken" in kept
    assert "initErrors" in kept
    # No pod ever runs here, so the mended program wants none.
    assert stack.up(broken(namespace, "good:1", 0)) == {"same": 1, "update": 1}
    assert "initErrors" not in stack.exported()


def described(kind: str, **fields: object) -> Object:
    versions = {
        "Deployment": "apps/v1",
        "StatefulSet": "apps/v1",
        "Job": "batch/v1",
        "RoleBinding": "rbac.authorization.k8s.io/v1",
    }
    return {
        "apiVersion": versions.get(kind, "v1"),
        "kind": kind,
        "metadata": {"namespace": "n", "name": "x"},
        **fields,
    }


def token(kind: str) -> str:
    module = described(kind)["apiVersion"]
    return f"kubernetes:{module if '/' in module else 'core/' + module}:{kind}"


def state(obj: Object) -> Object:
    return {**obj, "__inputs": obj}


def replaced(asks: Driver, kind: str, old: Object, new: Object) -> tuple[list[str], bool]:
    answer = asks.diff(token(kind), "x", state(described(kind, **old)), described(kind, **new))
    return list(answer.replaces), answer.deleteBeforeReplace


def test_15_a_new_selector_replaces_the_deployment(driver: Callable[..., Driver]) -> None:
    old, new = ({"spec": {"selector": {"matchLabels": {"app": name}}}} for name in ("a", "b"))
    assert replaced(driver(), "Deployment", old, new) == (["spec.selector.matchLabels.app"], True)
    made = described("Deployment", **old)
    made["metadata"] = {
        "namespace": "n",
        "name": "x-12345678",
        "annotations": {"pulumi.com/autonamed": "true"},
    }
    unnamed = {**described("Deployment", **new), "metadata": {"namespace": "n"}}
    answer = driver().diff(token("Deployment"), "x", state(made), unnamed)
    assert list(answer.replaces) == ["spec.selector.matchLabels.app"]
    assert not answer.deleteBeforeReplace


def test_16_config_maps_are_replaced_unless_they_may_change(driver: Callable[..., Driver]) -> None:
    old, new = {"data": {"a": "1"}}, {"data": {"a": "2"}}
    assert replaced(driver(), "ConfigMap", old, new)[0] == ["data.a"]
    mutable = driver(enableConfigMapMutable="true")
    assert replaced(mutable, "ConfigMap", old, new)[0] == []
    assert "data.a" in replaced(mutable, "ConfigMap", old, {**new, "immutable": True})[0]


def test_17_a_service_changes_its_type_but_not_its_address(driver: Callable[..., Driver]) -> None:
    old = {"spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1"}}
    assert (
        replaced(driver(), "Service", old, {"spec": {"type": "NodePort", "clusterIP": "10.0.0.1"}})[0] == []
    )
    moved = {"spec": {"type": "ClusterIP", "clusterIP": "10.0.0.2"}}
    assert replaced(driver(), "Service", old, moved)[0] == ["spec.clusterIP"]


@pytest.mark.parametrize(
    ("kind", "old", "new", "path"),
    [
        ("StatefulSet", {"spec": {"volumeClaimTemplates": [{"a": "1"}]}}, {"spec": {"volumeClaimTemplates": [{"a": "2"}]}}, "spec.volumeClaimTemplates[0].a"),
        ("Job", {"spec": {"template": {"spec": {"a": "1"}}}}, {"spec": {"template": {"spec": {"a": "2"}}}}, "spec.template.spec.a"),
        ("RoleBinding", {"roleRef": {"name": "a"}}, {"roleRef": {"name": "b"}}, "roleRef.name"),
        ("PersistentVolumeClaim", {"spec": {"storageClassName": "a"}}, {"spec": {"storageClassName": "b"}}, "spec.storageClassName"),
    ],
)  # fmt: skip
def test_18_what_cannot_change_is_replaced(
    driver: Callable[..., Driver], kind: str, old: Object, new: Object, path: str
) -> None:
    assert replaced(driver(), kind, old, new)[0] == [path]
