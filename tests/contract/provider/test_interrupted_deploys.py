"""First deploys that are interrupted at several moments converge with the next run: nothing twice, nothing left."""

from __future__ import annotations

import os
import random
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

import pulumi
import pulumi_kubernetes as k8s
import pytest
from kubernetes import client

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

LABELS = {PART_OF_LABEL: PRODUCT}
CONFIG_MAPS = 40
MOMENTS = (0, 10, 39)
"""Objects that exist when the signal is sent."""


def program(namespace: str, *, named: bool) -> None:
    """Declare objects one after the other in groups, then a Job that cannot be changed.

    Args:
        namespace: their namespace.
        named: whether their names are fixed; otherwise the engine generates them.
    """
    meta = {"namespace": namespace, "labels": LABELS, "annotations": {"pulumi.com/skipAwait": "true"}}
    maps: list[pulumi.Resource] = []
    for index in range(CONFIG_MAPS):
        earlier = pulumi.ResourceOptions(depends_on=maps[-4:-3])
        metadata = {**meta, "name": f"m{index}"} if named else meta
        maps.append(k8s.core.v1.ConfigMap(f"m{index}", metadata=metadata, opts=earlier))
    pod = {"containers": [{"name": "main", "image": "web:1"}], "restartPolicy": "Never"}
    spec = {"template": {"metadata": {}, "spec": pod}}
    opts = pulumi.ResourceOptions(depends_on=maps)
    k8s.batch.v1.Job("j", metadata={**meta, "name": "j"}, spec=spec, opts=opts)


def config_maps(api: client.ApiClient, namespace: str) -> int:
    selector = f"{PART_OF_LABEL}={PRODUCT}"
    return len(client.CoreV1Api(api).list_namespaced_config_map(namespace, label_selector=selector).items)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("moment", MOMENTS)
def test_interrupted_first_deploy_converges(  # noqa: PLR0913, PLR0917 - fixtures
    engine: PulumiEngine,
    step: RecordedStep,
    namespace: str,
    api: client.ApiClient,
    child_deploy: ChildDeploy,
    moment: int,
    number: signal.Signals,
) -> None:
    before = child_deploy.provider_pids()
    # The provider loses track of an object whose creation it aborts; that the layers have fixed names is a rule.
    declared = partial(program, namespace, named=number == signal.SIGTERM)
    child = child_deploy.start(declared)
    wait_until("the objects", lambda: config_maps(api, namespace) >= moment, 60)
    time.sleep(random.Random(moment).uniform(0, 0.05))
    assert child.pid is not None
    os.kill(child.pid, number)
    child.join(30)
    wait_until("the end of its provider", lambda: child_deploy.provider_pids() <= before, 10)
    engine.recover("data")
    engine.up("data", declared, step)
    assert config_maps(api, namespace) == CONFIG_MAPS
    assert engine.up("data", declared, step).counts == {"same": CONFIG_MAPS + 2}
    assert not engine.workspace.export_state("data").get("pending_operations")
