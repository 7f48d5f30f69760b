"""Names, marks of secrets, normal forms, owners: what is decided about an object without asking anybody."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.provider.check import normalise, secret_paths
from infra.provider.identity import (
    Refused,
    group_version_kind,
    is_autonamed,
    is_namespaced,
    is_patch,
    object_id,
    parse_id,
    with_name,
)
from infra.provider.ownership import left_alone, takeover
from infra.provider.values import OUTPUT, SIGNATURE, UNKNOWN, Values, encode

Object = dict[str, Any]
URN = "urn:pulumi:s::p::kubernetes:core/v1:ConfigMap::web"


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("kubernetes:core/v1:Pod", ("v1", "Pod")),
        ("kubernetes:apps/v1:DeploymentPatch", ("apps/v1", "Deployment")),
        ("kubernetes:example.org/v1:Patch", ("example.org/v1", "Patch")),
    ],
)
def test_a_token_names_a_kind(token: str, expected: tuple[str, str]) -> None:
    assert group_version_kind(token) == expected


@pytest.mark.parametrize(
    "token",
    ["kubernetes:helm.sh/v3:Release", "kubernetes:v1:Pod", "kubernetes:core/v1:PodList", "nonsense"],
)
def test_what_is_not_served_is_refused(token: str) -> None:
    with pytest.raises(Refused, match=re.escape(token)):
        group_version_kind(token)


def test_a_patch_is_told_from_a_kind_called_so() -> None:
    assert is_patch("kubernetes:core/v1:PodPatch")
    assert not is_patch("kubernetes:example.org/v1:Patch")


@pytest.mark.parametrize("identifier", ["space/name", "name"])
def test_an_id_is_read_as_it_is_written(identifier: str) -> None:
    namespace, name = parse_id(identifier)
    assert object_id({"metadata": {"namespace": namespace, "name": name}}) == identifier


def test_an_unknown_kind_is_taken_to_live_in_a_namespace() -> None:
    assert is_namespaced("Thing", lambda: None)
    assert not is_namespaced("Thing", lambda: False)
    assert not is_namespaced("Namespace", lambda: True)


def test_a_made_name_stays_and_a_given_one_is_not_touched() -> None:
    made = with_name({}, URN, None, lambda: "12345678")
    assert made["metadata"]["name"] == "web-12345678"
    assert is_autonamed(made)
    assert with_name({}, URN, made) == made
    given_name = {"metadata": {"name": "mine"}}
    assert with_name(given_name, URN, made) == given_name
    assert with_name({}, URN, given_name, lambda: "0")["metadata"]["name"] == "web-0"


def test_read_only_metadata_goes_and_string_data_is_folded() -> None:
    metadata = {"name": "s", "uid": "1", "labels": None}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "data": {"a": "eA=="},
        "stringData": {"a": "y", "later": UNKNOWN},
    }
    clean = normalise(secret)
    assert clean["metadata"] == {"name": "s"}
    assert clean["data"] == {"a": "eQ==", "later": UNKNOWN}
    assert "stringData" not in clean
    assert "stringData" in secret


def test_schema_keys_are_spelled_as_kubernetes_does() -> None:
    schema = {"kind": "CustomResourceDefinition", "spec": [{"x_kubernetes_list_type": "map"}], "status": {}}
    assert normalise(schema) == {
        "kind": "CustomResourceDefinition",
        "spec": [{"x-kubernetes-list-type": "map"}],
        "metadata": {},
    }


def test_the_data_of_a_secret_is_secret_whatever_the_program_says() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "data": {}}
    assert secret_paths(secret, {("data", "a"), ("type",)}) == {("data",), ("type",)}
    assert secret_paths({"kind": "ConfigMap", "data": {}}, {("data", "a")}) == {("data", "a")}


@given(st.dictionaries(st.text("ab", min_size=1, max_size=2), st.integers(-9, 9) | st.text("xy", max_size=3)))
def test_values_come_back_as_they_were_sent(plain: Object) -> None:
    everything = {(key,) for key in plain}
    values = Values(encode(plain, everything))
    assert values.plain == plain
    assert values.secrets == everything


def test_a_secret_in_an_array_makes_all_of_it_secret() -> None:
    assert Values(encode({"a": [{"b": "x"}]}, {("a", 0, "b")})).secrets == {("a",)}


def test_an_output_without_a_value_is_unknown() -> None:
    values = Values(encode({"a": {SIGNATURE: OUTPUT, "secret": True}, "b": {SIGNATURE: OUTPUT, "value": 1}}))
    assert values.unknown
    assert values.plain == {"a": UNKNOWN, "b": 1}
    assert values.secrets == {("a",)}


def entry(manager: str, operation: str = "Apply", **fields: Object) -> Object:
    return {"manager": manager, "operation": operation, "fieldsV1": fields}


def live(*entries: Object, replicas: int = 7) -> Object:
    return {
        "metadata": {"managedFields": list(entries), "resourceVersion": "1"},
        "spec": {"replicas": replicas},
    }


REPLICAS = {"f:spec": {"f:replicas": {}}}


def test_fields_of_older_writers_come_to_us_and_others_stay() -> None:
    by_hand, other = entry("kubectl-edit", "Update", **{"f:data": {}}), entry("autoscaler", **REPLICAS)
    status = {**entry("kubectl", "Update", **{"f:status": {}}), "subresource": "status"}
    ours = entry("ours", **{"f:spec": {"f:image": {}}})
    entries = takeover(live(by_hand, other, ours, status), "ours")[0]["value"]
    assert [each["manager"] for each in entries] == ["ours", "autoscaler", "kubectl"]
    assert set(entries[0]["fieldsV1"]) == {"f:spec", "f:data"}
    assert takeover(live(ours, other), "ours") == []


def test_what_was_scaled_by_hand_comes_to_us_without_the_subresource() -> None:
    scaled = {**entry("kubectl", "Update", **REPLICAS), "subresource": "scale"}
    by_controller = {**scaled, "manager": "kube-controller-manager"}
    (taken, left) = takeover(live(scaled, by_controller), "ours")[0]["value"]
    assert taken == entry("ours", **REPLICAS)
    assert left == by_controller


@pytest.mark.parametrize(
    ("owners", "expected"),
    [
        (["autoscaler"], {}),
        (["autoscaler", "ours"], {"replicas": 7}),
        (["ours"], {"replicas": 7}),
        (["kubectl-edit"], {"replicas": 7}),
        ([], {"replicas": 7}),
    ],
)
def test_an_ignored_field_is_left_out_only_where_others_hold_it(owners: list[str], expected: Object) -> None:
    found = live(*(entry(each, **REPLICAS) for each in owners))
    obj = {"spec": {"replicas": 2}}
    assert left_alone(obj, found, ("spec", "replicas"), "ours") == {"spec": expected}
    assert obj == {"spec": {"replicas": 2}}


def test_an_ignored_field_that_is_not_there_stays_as_described() -> None:
    obj = {"spec": {"paused": True}}
    assert left_alone(obj, live(), ("spec", "paused"), "ours") == obj
    assert left_alone({}, live(), ("spec", "replicas"), "ours") == {}
