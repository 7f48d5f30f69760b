"""What counts as a difference, and which differences need a new object."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.provider.compare import differences, dotted, prune, replaces, same

Object = dict[str, Any]
LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.text("abm1", max_size=3)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text("abc", max_size=2), below, max_size=3)
    ),
    max_leaves=8,
)


@given(DOCUMENTS)
def test_a_document_does_not_differ_from_itself(document: Any) -> None:
    assert same(document, document)
    assert prune(document, document) == document
    assert list(differences(document, document)) == []


@given(st.dictionaries(st.sampled_from("abc"), DOCUMENTS), st.dictionaries(st.sampled_from("xyz"), DOCUMENTS))
def test_what_others_add_is_neither_seen_nor_kept(described: Object, foreign: Object) -> None:
    live = {**described, **foreign}
    assert same(described, live)
    assert prune(live, described) == described


@given(DOCUMENTS, DOCUMENTS)
def test_cutting_twice_is_cutting_once(live: Any, described: Any) -> None:
    once = prune(live, described)
    assert prune(once, described) == once


@pytest.mark.parametrize(
    ("described", "live", "equal"),
    [
        ("1000m", "1", True), ("0.5Gi", "512Mi", True), ("1024Mi", "1Gi", True), (1, "1", True),
        ("1Gi", "1G", False), ("one", "two", False), (True, 1, False), (1.0, 1, True),
        ([], None, True), ({}, None, True), (None, None, True), ("x", None, False),
        ([1], [1, 2], True), ([1, 2], [1], False), ({"a": 1}, {"a": 1, "b": 2}, True),
    ],
)  # fmt: skip
def test_values_in_another_form_are_the_same(described: Any, live: Any, equal: bool) -> None:  # noqa: FBT001 - a column of the table
    assert same(described, live) is equal


def test_every_way_to_differ_is_told_with_its_path() -> None:
    old = {"a": {"b": [1, {"c": "x"}]}, "gone": 1}
    new = {"a": {"b": [1, {"c": "y"}, 3]}, "fresh": 2}
    found = {dotted(path): how for path, how in differences(old, new)}
    assert found == {"a.b[1].c": "update", "a.b[2]": "add", "gone": "delete", "fresh": "add"}


def test_keys_with_dots_are_quoted() -> None:
    assert dotted(("metadata", "annotations", "a.b/c", 0)) == 'metadata.annotations["a.b/c"][0]'


@pytest.mark.parametrize(
    ("group", "kind", "path", "replacing"),
    [
        ("apps", "Deployment", ("spec", "selector", "matchLabels", "a"), True),
        ("apps", "Deployment", ("spec", "replicas"), False),
        ("apps", "StatefulSet", ("spec", "volumeClaimTemplates", 0, "spec"), True),
        ("", "Service", ("spec", "type"), False),
        ("", "Pod", ("spec", "containers", 0, "env"), True),
        ("", "Pod", ("spec", "tolerations"), False),
        ("", "Pod", ("metadata", "labels", "a"), False),
        ("", "PersistentVolume", ("spec", "csi", "driver"), True),
        ("", "PersistentVolume", ("spec", "capacity", "storage"), False),
        ("", "Secret", ("type",), True),
        ("example.org", "Secret", ("data", "a"), False),
        ("", "ConfigMap", ("metadata", "name"), True),
    ],
)  # fmt: skip
def test_what_no_update_can_change_needs_a_new_object(
    group: str,
    kind: str,
    path: tuple[str | int, ...],
    replacing: bool,  # noqa: FBT001 - a column of the table
) -> None:
    obj: Object = {"metadata": {"name": "x"}}
    assert replaces(group, kind, path, obj, obj) is replacing


def test_no_namespace_is_the_default_one() -> None:
    path = ("metadata", "namespace")
    bare, default, other = ({"metadata": {"namespace": each}} for each in (None, "default", "other"))
    assert not replaces("", "Service", path, bare, default)
    assert replaces("", "Service", path, default, other)


def test_immutable_data_is_replaced_even_where_data_may_change() -> None:
    path = ("data", "a")
    assert not replaces("", "ConfigMap", path, {}, {}, mutable=True)
    assert replaces("", "ConfigMap", path, {}, {"immutable": True}, mutable=True)
    assert replaces("", "Secret", ("type",), {}, {}, mutable=True)
