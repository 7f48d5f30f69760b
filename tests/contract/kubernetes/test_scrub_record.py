"""The record of the last scrub in a real API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kubernetes import client

from infra.components.scrub import Damage
from infra.kubernetes import get_or_none
from infra.names import DATA_NAMESPACE
from infra.scrub_record import NAME, new_record, read_scrub, record_replica, save_scrub

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

pytestmark = [
    pytest.mark.contract,
    # The Kubernetes client calls what urllib3 is about to remove.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]


def test_last_scrub_replaces_the_one_before(api: ApiClient) -> None:
    core = client.CoreV1Api(api)
    if get_or_none(lambda: core.read_namespace(DATA_NAMESPACE)) is None:
        core.create_namespace({"metadata": {"name": DATA_NAMESPACE}})
    assert read_scrub(api) is None
    damage = Damage(pod="kafka-0", location="offset 7")
    for record in (new_record({"kafka-0": [damage]}, [], 9), new_record({}, [], 9)):
        save_scrub(api, record)
        assert read_scrub(api) == record
    record_replica(api, "kafka-0", [damage])
    assert read_scrub(api) == record.model_copy(update={"damage": (str(damage),)}), (
        "the time of the scrub remains"
    )
    record_replica(api, "kafka-0", [])
    assert read_scrub(api) == record
    core.patch_namespaced_config_map(NAME, DATA_NAMESPACE, {"data": {"record": "{}"}})
    assert read_scrub(api) is None, "a record of another version"
