"""The state of a stack after its pending operations are resolved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from cli import pending_operations
from cli.pending_operations import resolve_pending_operations
from infra.errors import EsqError
from infra.names import PART_OF_LABEL, PRODUCT

KUBECONFIG = Path("none")
CREATED = {
    "urn": "job",
    "type": "kubernetes:batch/v1:Job",
    "inputs": {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "new"}},
}
LIVE = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "new", "labels": {PART_OF_LABEL: PRODUCT}},
}


class Closed:
    """A client of the cluster."""

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_operations, "api_client", lambda _: Closed())


def resolve(*resources: dict[str, Any]) -> list[tuple[str, str, bool]]:
    state: dict[str, Any] = {
        "resources": [{"urn": "before"}, *resources, {"urn": "after"}],
        "pending_operations": [{"type": "creating", "resource": CREATED}],
    }
    resolve_pending_operations(state, KUBECONFIG)
    assert "pending_operations" not in state
    return [(entry["urn"], entry.get("id", ""), entry.get("delete", False)) for entry in state["resources"]]


BEFORE, NEW, AFTER = ("before", "", False), ("job", "new", False), ("after", "", False)


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([], [BEFORE, AFTER, NEW]),
        ([{"urn": "job", "id": "new", "pendingReplacement": True}], [BEFORE, NEW, AFTER]),
        ([{"urn": "job", "id": "old", "pendingReplacement": True}], [BEFORE, NEW, AFTER]),
        ([{"urn": "job", "id": "new"}], [BEFORE, NEW, AFTER]),
        ([{"urn": "job", "id": "old"}], [BEFORE, NEW, ("job", "old", True), AFTER]),
        ([{"urn": "job", "id": "old", "delete": True}], [BEFORE, NEW, ("job", "old", True), AFTER]),
    ],
)
def test_adopted_object_takes_the_place_of_the_replaced_one(
    monkeypatch: pytest.MonkeyPatch, resources: list[dict[str, Any]], expected: list[tuple[str, str, bool]]
) -> None:
    monkeypatch.setattr(pending_operations, "_live_object", lambda *_: LIVE)
    assert resolve(*resources) == expected


def test_rejected_look_at_the_cluster_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_json(*_: object) -> None:
        raise ApiException(status=403)

    monkeypatch.setattr(pending_operations, "get_json", get_json)
    with pytest.raises(EsqError, match="rejects a request"):
        resolve()
