"""Sentences 1 to 12 and 20 to 30: what becomes of objects, call by call against a real API server."""

from __future__ import annotations

import base64
import re
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from pulumi.runtime.proto import provider_pb2 as rpc

from infra.provider.api import Api
from infra.provider.kubeconfig import load
from infra.provider.values import SIGNATURE, UNKNOWN, Values
from tests.controllers.provider import Call, Driver, RefusedByProviderError, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.controllers.apiserver import ApiServer

pytestmark = pytest.mark.contract

CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
SECRET = "kubernetes:core/v1:Secret"
SERVICE = "kubernetes:core/v1:Service"
CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
DEFINITION = "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition"
Object = dict[str, Any]
Make = "Callable[..., Driver]"


def config_map(namespace: str | None = None, name: str | None = "cm", **data: str) -> Object:
    metadata = {key: value for key, value in (("namespace", namespace), ("name", name)) if value}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data or {"key": "one"}}


def deployment(namespace: str, image: str = "app:1", replicas: int = 2, **annotations: str) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": "app", "annotations": annotations},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "app"}},
            "template": {
                "metadata": {"labels": {"app": "app"}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
        },
    }


SKIP = {"pulumi.com/skipAwait": "true"}


def live(api: Api, obj: Object) -> Object | None:
    kind = api.kind(obj["apiVersion"], obj["kind"])
    return api.get(kind, obj["metadata"].get("namespace"), obj["metadata"]["name"])


def test_01_a_name_is_made_when_none_is_given(driver: Callable[..., Driver], namespace: str) -> None:
    state = state_of(driver().create(CONFIG_MAP, "web", config_map(namespace, None)))
    assert re.fullmatch(r"web-[0-9a-f]{8}", state["metadata"]["name"])
    assert state["metadata"]["annotations"]["pulumi.com/autonamed"] == "true"


def test_02_a_made_name_stays(driver: Callable[..., Driver], namespace: str) -> None:
    asks = driver(enableConfigMapMutable="true")
    state = state_of(asks.create(CONFIG_MAP, "web", config_map(namespace, None)))
    after = asks.update(CONFIG_MAP, "web", state, config_map(namespace, None, key="two"))
    assert after["metadata"]["name"] == state["metadata"]["name"]
    assert after["metadata"]["annotations"] == state["metadata"]["annotations"]


def test_03_ids_name_the_namespace_where_there_is_one(driver: Callable[..., Driver]) -> None:
    assert driver().create(CONFIG_MAP, "x", config_map(None, "third")).id == "default/third"
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "third"}}
    assert driver().create("kubernetes:core/v1:Namespace", "x", space).id == "third"


def test_04_the_providers_namespace_is_for_namespaced_kinds_only(driver: Callable[..., Driver]) -> None:
    asks = driver(namespace="a")
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"}}
    inputs, _ = asks.check("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole", "r", role)
    assert "namespace" not in inputs["metadata"]
    assert asks.check(CONFIG_MAP, "c", config_map())[0]["metadata"]["namespace"] == "a"


def test_05_generate_name_is_refused(driver: Callable[..., Driver]) -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "x-"}}
    _, failures = driver().check(CONFIG_MAP, "x", obj)
    assert "generateName is not supported" in failures[0]


def test_06_what_exists_is_not_taken(driver: Callable[..., Driver], api: Api, namespace: str) -> None:
    api.create(api.kind("v1", "ConfigMap"), config_map(namespace, key="theirs"), "someone")
    with pytest.raises(RefusedByProviderError, match=r"already exists.*Import it"):
        driver().create(CONFIG_MAP, "cm", config_map(namespace, key="ours"))
    found = live(api, config_map(namespace))
    assert found is not None
    assert found["data"] == {"key": "theirs"}


def test_07_unless_that_is_asked_for(driver: Callable[..., Driver], api: Api, namespace: str) -> None:
    theirs = config_map(namespace, other="kept")
    api.create(api.kind("v1", "ConfigMap"), theirs, "someone")
    state = state_of(
        driver(upsertExistingObjects="true").create(CONFIG_MAP, "cm", config_map(namespace, key="ours"))
    )
    assert state["data"] == {"key": "ours", "other": "kept"}


def test_08_a_missing_namespace_does_not_stop_a_preview(driver: Callable[..., Driver]) -> None:
    answer = driver().create(CONFIG_MAP, "cm", config_map("not-there-yet"), preview=True)
    assert state_of(answer)["data"] == {"key": "one"}


def definition(group: str, **fields: Object) -> Object:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema["properties"]["status"] = status  # type: ignore[index]  # built above
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"},
            "versions": [version],
        },
    }


def thing(group: str, namespace: str, **annotations: str) -> Object:
    metadata = {"namespace": namespace, "name": "one", "annotations": annotations}
    return {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": metadata, "spec": {"size": 1}}


def test_09_and_19_definitions_and_their_objects(
    driver: Callable[..., Driver], api: Api, namespace: str
) -> None:
    group, token = f"{namespace}.test", f"kubernetes:{namespace}.test/v1:Thing"
    size = {"type": "integer"}
    asks = driver()
    assert state_of(asks.create(token, "one", thing(group, namespace), preview=True))["spec"] == {"size": 1}
    made: list[rpc.CreateResponse] = []
    beside = threading.Thread(target=lambda: made.append(asks.create(token, "one", thing(group, namespace))))
    beside.start()
    state = state_of(asks.create(DEFINITION, "d", definition(group, size=size)))
    beside.join(40)
    assert made[0].id == f"{namespace}/one"
    asks.update(DEFINITION, "d", state, definition(group, size=size, color={"type": "string"}))
    found = live(api, thing(group, namespace))
    assert found is not None
    assert found["metadata"]["uid"] == state_of(made[0])["metadata"]["uid"]


def test_10_nothing_is_asked_while_something_is_unknown(
    driver: Callable[..., Driver], namespace: str
) -> None:
    obj = config_map(namespace, key=UNKNOWN)
    obj["spec"] = {"no": "such field, which a dry run would refuse"}
    assert state_of(driver().create(CONFIG_MAP, "cm", obj, preview=True))["data"] == {"key": UNKNOWN}


def test_11_what_the_server_would_refuse_fails_the_preview(
    driver: Callable[..., Driver], namespace: str
) -> None:
    with pytest.raises(RefusedByProviderError, match="must be greater than or equal to 0"):
        driver().create(DEPLOYMENT, "app", deployment(namespace, replicas=-1), preview=True)


def test_12_a_preview_needs_no_right_to_write(
    server: ApiServer, driver: Callable[..., Driver], namespace: str
) -> None:
    reader = driver(kubeconfig=str(server.kubeconfig_of("reader")))
    assert state_of(reader.create(CONFIG_MAP, "cm", config_map(namespace), preview=True))["data"] == {
        "key": "one"
    }


def test_20_a_conflict_names_both_managers_and_the_field(
    driver: Callable[..., Driver], api: Api, namespace: str
) -> None:
    asks = driver(enableConfigMapMutable="true")
    state = state_of(asks.create(CONFIG_MAP, "cm", config_map(namespace)))
    state = asks.update(CONFIG_MAP, "cm", state, config_map(namespace, key="two"))
    api.apply(api.kind("v1", "ConfigMap"), config_map(namespace, key="theirs"), "somebody", force=True)
    with pytest.raises(RefusedByProviderError, match=r'manager "pulumi-kubernetes-.*"somebody".*\.data\.key'):
        asks.update(CONFIG_MAP, "cm", state, config_map(namespace, key="three"))
    forced = config_map(namespace, key="three")
    forced["metadata"]["annotations"] = {"pulumi.com/patchForce": "true"}
    assert asks.update(CONFIG_MAP, "cm", state, forced)["data"] == {"key": "three"}


def scale(api: Api, namespace: str, replicas: int, manager: str) -> None:
    """Write through the subresource, as `kubectl scale` does: the field is the manager's from then on."""
    path = api.kind("apps/v1", "Deployment").path(namespace, "app", "scale")
    answer = api._client.patch(
        path,
        params={"fieldManager": manager},
        json={"spec": {"replicas": replicas}},
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert answer.is_success, answer.text


def test_20_what_was_scaled_by_hand_is_set_right_and_what_an_autoscaler_did_is_a_conflict(
    driver: Callable[..., Driver], api: Api, namespace: str
) -> None:
    asks = driver()
    state = state_of(asks.create(DEPLOYMENT, "app", deployment(namespace, replicas=2, **SKIP)))
    for image in ("app:2", "app:3"):  # the first update also takes the fields over from who created them
        scale(api, namespace, 5, "kubectl")
        wanted = deployment(namespace, image, replicas=2, **SKIP)
        assert asks.update(DEPLOYMENT, "app", state, wanted, preview=True)["spec"]["replicas"] == 2
        state = asks.update(DEPLOYMENT, "app", state, wanted)
        assert state["spec"]["replicas"] == 2
    scale(api, namespace, 5, "kube-controller-manager")
    with pytest.raises(RefusedByProviderError, match=r'"kube-controller-manager".*\.spec\.replicas'):
        asks.update(DEPLOYMENT, "app", state, wanted)


def test_21_ignored_fields_are_left_to_whom_they_belong(
    driver: Callable[..., Driver], api: Api, namespace: str
) -> None:
    asks = driver()
    state = state_of(asks.create(DEPLOYMENT, "app", deployment(namespace, **SKIP)))
    state = asks.update(DEPLOYMENT, "app", state, deployment(namespace, "app:2", **SKIP))
    scaled = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": "app"},
    }
    api.apply(
        api.kind("apps/v1", "Deployment"), {**scaled, "spec": {"replicas": 7}}, "autoscaler", force=True
    )
    ignore = ("spec.replicas",)
    after = asks.update(DEPLOYMENT, "app", state, deployment(namespace, "app:3", **SKIP), ignore=ignore)
    assert after["spec"]["replicas"] == 7
    assert after["spec"]["template"]["spec"]["containers"][0]["image"] == "app:3"


def test_21_ignored_fields_that_are_ours_keep_their_live_value(
    driver: Callable[..., Driver], api: Api, namespace: str
) -> None:
    asks, ignore = driver(), ("spec.replicas",)
    state = state_of(asks.create(DEPLOYMENT, "app", deployment(namespace, replicas=3, **SKIP)))
    # Twice: on the first update the fields come from the manager of creation, on the next they are ours.
    for image in ("app:2", "app:3"):
        changed = deployment(namespace, image, replicas=5, **SKIP)
        assert asks.update(DEPLOYMENT, "app", state, changed, ignore=ignore)["spec"]["replicas"] == 3
    scale(api, namespace, 6, "autoscaler")
    assert asks.update(DEPLOYMENT, "app", state, changed, ignore=ignore)["spec"]["replicas"] == 6


def test_22_a_patch_gives_back_its_fields_only(
    driver: Callable[..., Driver], api: Api, namespace: str
) -> None:
    asks, token = driver(), "kubernetes:apps/v1:DeploymentPatch"
    asks.create(DEPLOYMENT, "app", deployment(namespace, **SKIP))
    metadata = {"namespace": namespace, "name": "app", "annotations": SKIP, "labels": {"patched": "yes"}}
    patch = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}
    state = state_of(asks.create(token, "patch", patch))
    assert state["metadata"]["labels"] == {"patched": "yes"}
    asks.delete(token, "patch", state)
    found = live(api, deployment(namespace))
    assert found is not None
    assert "labels" not in found["metadata"]


def failing_pod(api: Api, namespace: str) -> Object:
    """Make a pod of the deployment and give it the status that a kubelet gives to a bad image."""
    template = deployment(namespace)["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "app-broken", "namespace": namespace, **template["metadata"]},
        "spec": template["spec"],
    }
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    status = {"phase": "Pending", "containerStatuses": [_container(waiting)]}
    api.create(api.kind("v1", "Pod"), pod, "test")
    return put_status(api, {**pod, "status": status})


def _container(waiting: Object) -> Object:
    return {
        "name": "main",
        "image": "app:1",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"waiting": waiting},
    }


def put_status(api: Api, obj: Object) -> Object:
    kind = api.kind(obj["apiVersion"], obj["kind"])
    path = kind.path(obj["metadata"].get("namespace"), obj["metadata"]["name"], "status")
    headers = {"Content-Type": "application/merge-patch+json"}
    answer = api._client.patch(path, json={"status": obj["status"]}, headers=headers)
    assert answer.is_success, answer.text
    return dict(answer.json())


def test_23_and_24_a_bad_image_is_told_with_its_pods_and_mended_by_the_next_run(
    driver: Callable[..., Driver], api: Api, namespace: str
) -> None:
    asks = driver()
    failing_pod(api, namespace)
    with pytest.raises(RefusedByProviderError, match="was created and is not ready") as caught:
        asks.create(DEPLOYMENT, "app", deployment(namespace), timeout=2)
    detail = rpc.ErrorResourceInitFailed()
    from google.rpc import status_pb2  # noqa: PLC0415 - only to read the details

    status_pb2.Status.FromString(caught.value.trailing[0][1]).details[0].Unpack(detail)
    assert any("ImagePullBackOff: no such image" in reason for reason in detail.reasons)
    state = Values(detail.properties).plain
    assert detail.id == f"{namespace}/app"
    assert state["__inputs"]["spec"]["replicas"] == 2
    # No pod ever runs here, so the mended program wants none.
    after = asks.update(DEPLOYMENT, "app", state, deployment(namespace, "app:2", replicas=0), timeout=20)
    assert after["metadata"]["uid"] == state["metadata"]["uid"]


def test_25_waiting_can_be_left_out_or_asked_for(
    driver: Callable[..., Driver], api: Api, namespace: str
) -> None:
    asks, group = driver(), f"{namespace}.test"
    begun = time.monotonic()
    asks.create(DEPLOYMENT, "app", deployment(namespace, **SKIP))
    assert time.monotonic() - begun < 5
    asks.create(DEFINITION, "d", definition(group, size={"type": "integer"}))
    obj = thing(group, namespace, **{"pulumi.com/waitFor": "condition=Ready"})

    def play() -> None:
        while live(api, obj) is None:
            time.sleep(0.1)
        found = live(api, obj)
        assert found is not None
        conditions = [{"type": "Ready", "status": "True"}]
        path = api.kind(obj["apiVersion"], "Thing").path(namespace, "one")
        headers = {"Content-Type": "application/merge-patch+json"}
        time.sleep(1)
        api._client.patch(path, json={"status": {"conditions": conditions}}, headers=headers)

    playing = threading.Thread(target=play)
    playing.start()
    state = state_of(asks.create(f"kubernetes:{group}/v1:Thing", "one", obj))
    playing.join(10)
    assert state["status"]["conditions"][0]["type"] == "Ready"


def test_26_what_has_nothing_to_wait_for_does_not_hang(driver: Callable[..., Driver], namespace: str) -> None:
    asks = driver()
    port = [{"port": 80}]
    for name, spec in {"headless": {"clusterIP": "None", "ports": port}, "bare": {"ports": port}}.items():
        obj = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
        assert asks.create(SERVICE, name, obj, timeout=5).id == f"{namespace}/{name}"
    storage = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": namespace},
        "provisioner": "test/none",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    asks.create("kubernetes:storage.k8s.io/v1:StorageClass", "s", storage)
    spec = {
        "storageClassName": namespace,
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}},
    }
    metadata = {"name": "claim", "namespace": namespace}
    obj = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}
    assert asks.create(CLAIM, "claim", obj, timeout=10).id == f"{namespace}/claim"


def test_27_a_refresh_sees_deletion_and_drift_of_described_fields_only(
    driver: Callable[..., Driver], api: Api, namespace: str
) -> None:
    asks = driver(enableConfigMapMutable="true")
    obj = config_map(namespace)
    state = state_of(asks.create(CONFIG_MAP, "cm", obj))
    kind = api.kind("v1", "ConfigMap")
    edited = {
        **config_map(namespace, key="drifted", more="x"),
        "metadata": {**obj["metadata"], "labels": {"a": "b"}},
    }
    api.replace(kind, edited, "kubectl-edit")
    answer = asks.read(CONFIG_MAP, "cm", f"{namespace}/cm", state)
    inputs = Values(answer.inputs).plain
    assert inputs["data"] == {"key": "drifted"}
    assert "labels" not in inputs["metadata"]
    drifted = Values(answer.properties).plain
    assert list(asks.diff(CONFIG_MAP, "cm", drifted, obj).detailedDiff) == ["data.key"]
    assert asks.update(CONFIG_MAP, "cm", drifted, obj)["data"]["key"] == "one"
    api.delete(kind, namespace, "cm", propagation="Background", uid="")
    assert asks.read(CONFIG_MAP, "cm", f"{namespace}/cm", state).id == ""


def test_28_an_import_describes_what_a_person_would(
    driver: Callable[..., Driver], api: Api, namespace: str
) -> None:
    api.create(api.kind("v1", "ConfigMap"), config_map(namespace), "someone")
    inputs = Values(driver().read(CONFIG_MAP, "cm", f"{namespace}/cm").inputs).plain
    assert inputs["data"] == {"key": "one"}
    assert not {"uid", "resourceVersion", "managedFields", "creationTimestamp"} & set(inputs["metadata"])
    assert "status" not in inputs


def test_29_a_blocking_finalizer_is_named(driver: Callable[..., Driver], api: Api, namespace: str) -> None:
    obj = config_map(namespace)
    obj["metadata"]["finalizers"] = ["test.example/hold"]
    asks = driver()
    state = state_of(asks.create(CONFIG_MAP, "cm", obj))
    with pytest.raises(RefusedByProviderError, match=r"test\.example/hold"):
        asks.delete(CONFIG_MAP, "cm", state, timeout=1)
    assert live(api, obj) is not None
    path = [{"op": "remove", "path": "/metadata/finalizers"}]
    api.patch(api.kind("v1", "ConfigMap"), obj, path)
    asks.delete(CONFIG_MAP, "cm", state)


def test_30_an_unreachable_cluster_loses_nothing_unless_that_is_asked_for(namespace: str) -> None:
    state = {**config_map(namespace), "__inputs": config_map(namespace)}
    away = {"kubeconfig": "/nowhere/kubeconfig"}
    asks = Driver(away)
    for call in (
        lambda: asks.read(CONFIG_MAP, "cm", f"{namespace}/cm", state),
        lambda: asks.delete(CONFIG_MAP, "cm", state),
    ):
        with pytest.raises(RefusedByProviderError, match="unreachable"):
            call()
    gone = Driver({**away, "deleteUnreachable": "true"})
    assert gone.read(CONFIG_MAP, "cm", f"{namespace}/cm", state).id == ""
    gone.delete(CONFIG_MAP, "cm", state)


def test_a_secret_never_shows_its_values(driver: Callable[..., Driver], namespace: str) -> None:
    metadata = {"namespace": namespace, "name": "s"}
    obj = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "stringData": {"password": "open sesame"},
    }
    answer = driver().create(SECRET, "s", obj)
    for data in (answer.properties["data"], answer.properties["__inputs"]["data"]):
        assert SIGNATURE in data
    assert Values(answer.properties).plain["data"] == {"password": base64.b64encode(b"open sesame").decode()}


def test_a_successor_of_the_same_name_is_not_deleted(
    driver: Callable[..., Driver], api: Api, namespace: str
) -> None:
    asks, obj = driver(), config_map(namespace)
    state = state_of(asks.create(CONFIG_MAP, "cm", obj))
    kind = api.kind("v1", "ConfigMap")
    api.delete(kind, namespace, "cm", propagation="Background", uid="")
    api.create(kind, config_map(namespace, key="successor"), "someone")
    asks.delete(CONFIG_MAP, "cm", state)
    found = live(api, obj)
    assert found is not None
    assert found["data"] == {"key": "successor"}


@pytest.mark.parametrize("token", ["kubernetes:helm.sh/v3:Release", "kubernetes:kustomize/v2:Directory"])
def test_what_only_the_official_plugin_does_is_refused_with_the_way_out(
    driver: Callable[..., Driver], token: str
) -> None:
    with pytest.raises(RefusedByProviderError, match="Install that plugin"):
        driver().check(token, "x", {})
    with pytest.raises(RefusedByProviderError, match="Install that plugin"):
        driver().servicer.Construct(rpc.ConstructRequest(type=token), Call())


def test_a_kubeconfig_of_another_cluster_replaces_the_provider(
    server: ApiServer, driver: Callable[..., Driver]
) -> None:
    from infra.provider.values import encode  # noqa: PLC0415 - only here

    here, other = str(server.kubeconfig), str(server.kubeconfig_of("other"))
    text = server.kubeconfig.read_text().replace("127.0.0.1", "127.0.0.2")
    asks = driver().servicer

    def replaced(new: str) -> list[str]:
        request = rpc.DiffRequest(olds=encode({"kubeconfig": here}), news=encode({"kubeconfig": new}))
        return list(asks.DiffConfig(request, Call()).replaces)

    assert replaced(other) == []
    assert replaced(text) == ["kubeconfig"]
    assert load(here).server == server.url
