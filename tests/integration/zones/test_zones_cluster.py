"""A real cluster of its own: up, used, hurt, up again with its data, and gone without a trace."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import platformdirs
import pytest
from typer.testing import CliRunner

from infra.shell import CommandFailedError, run
from infra.steps import QuietSteps
from infra.zones import Cluster, ClusterSpec
from infra.zones.control_plane import TOOLBOX
from infra.zones.toolchain import Toolchain
from tests.controllers.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

NAME, SUBNET = "itest", "10.97.0.0/16"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    return Platform(state=tmp_path_factory.mktemp("zones"), cluster=NAME, subnet=SUBNET)


@pytest.fixture(scope="module")
def cluster(platform: Platform) -> Iterator[Cluster]:
    tools = Toolchain(platformdirs.user_cache_path("esq") / "toolchain", QuietSteps())
    tools.ensure(("kubernetes", "etcd", "coredns", "local-path-provisioner"))
    spec = ClusterSpec.model_validate({"name": NAME, "subnet": SUBNET})
    cluster = Cluster(spec, platform.state / "esq" / "clusters" / NAME, tools)
    cluster.up(QuietSteps())
    try:
        yield cluster
    finally:
        cluster.down(QuietSteps(), purge=True)


def until(wanted: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Ask until the answer is true."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = wanted()
        except (CommandFailedError, OSError):
            answer = None
        if answer:
            return answer
        assert time.monotonic() < deadline, "not within its deadline"
        time.sleep(0.2)


def workload() -> dict[str, Any]:
    serve = "echo kept >> /data/file; exec busybox httpd -f -p 8080 -h /data"
    container = {
        "name": "web",
        "image": TOOLBOX,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", serve],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "readinessProbe": {"httpGet": {"port": 8080, "path": "/file"}, "periodSeconds": 1},
    }
    spread = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    pod = {"topologySpreadConstraints": [spread], "containers": [container]}
    sets = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 3,
            "serviceName": "web",
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod},
            "volumeClaimTemplates": [claim],
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    return {"apiVersion": "v1", "kind": "List", "items": [sets, service]}


def ready(platform: Platform) -> int:
    return int(
        platform.kubectl("get", "statefulset", "web", "--output=jsonpath={.status.readyReplicas}") or 0
    )


def test_three_nodes_in_three_zones_become_ready(cluster: Cluster) -> None:
    status = cluster.status()
    assert status.healthy, status
    assert {node.zone for node in status.nodes} == {"zone-a", "zone-b", "zone-c"}


def test_up_again_changes_nothing(cluster: Cluster) -> None:
    steps, pid = QuietSteps(), cluster.supervisor_pid
    cluster.up(steps)
    assert steps.steps[0].notes == ["already running"]
    assert cluster.supervisor_pid == pid


def test_pods_spread_over_zones_answer_the_host_and_find_each_other(
    cluster: Cluster, platform: Platform
) -> None:
    kubectl = [str(platform.tools().path("kubectl")), f"--kubeconfig={cluster.kubeconfig}"]
    until(lambda: platform.kubectl("get", "serviceaccount", "default"))
    run([*kubectl, "apply", "--filename=-"], stdin=json.dumps(workload()))
    until(lambda: ready(platform) == 3)
    zones = platform.kubectl("get", "pods", "--output=jsonpath={.items[*].spec.nodeName}").split()
    assert sorted(zones) == ["zone-a", "zone-b", "zone-c"]
    address = platform.kubectl("get", "service", "web", "--output=jsonpath={.spec.clusterIP}")
    with urllib.request.urlopen(f"http://{address}/file", timeout=5) as answer:
        assert answer.read().startswith(b"kept")
    found = platform.kubectl(
        "exec", "web-0", "--", "busybox", "wget", "-qO-", "http://web.default.svc.cluster.local/file"
    )
    assert "kept" in found


def test_a_dead_zone_is_noticed_and_comes_back_with_its_data(cluster: Cluster, platform: Platform) -> None:
    begun = time.monotonic()
    cluster.kill("zone-b")
    until(lambda: not all(node.ready for node in cluster.status().nodes) or ready(platform) < 3, 20)
    noticed = time.monotonic() - begun
    until(lambda: cluster.status().healthy and ready(platform) == 3, 90)
    platform.keep("zone-death", {"noticed_seconds": noticed, "whole_again_seconds": time.monotonic() - begun})
    pods = platform.kubectl(
        "get", "pods", "--output=jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}\n{end}"
    )
    hit = next(line.split()[0] for line in pods.splitlines() if line.endswith("zone-b"))
    assert platform.kubectl("exec", hit, "--", "sh", "-c", "busybox cat /data/file").split() == [
        "kept",
        "kept",
    ]


def test_a_cut_zone_is_lost_and_healed(cluster: Cluster) -> None:
    cluster.cut("zone-c")
    until(lambda: any(not node.ready for node in cluster.status().nodes), 30)
    cluster.heal("zone-c")
    until(lambda: cluster.status().healthy, 60)


def test_the_command_line_tells_the_same(
    cluster: Cluster, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cli.commands.cluster import app  # noqa: PLC0415 - reads the variables below

    monkeypatch.setenv("XDG_STATE_HOME", str(platform.state))
    answer = CliRunner().invoke(app, ["status", "--name", NAME, "--json"])
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["edge"] == f"https://{cluster.address}"
    assert CliRunner().invoke(app, ["logs", "--name", NAME]).stdout.startswith("apiserver")


def test_down_and_up_is_the_same_cluster(cluster: Cluster, platform: Platform) -> None:
    before = platform.kubectl("get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}")
    cluster.down(QuietSteps())
    assert platform.leftovers() == []
    cluster.up(QuietSteps())
    assert platform.kubectl("get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}") == before
    until(lambda: ready(platform) == 3, 90)
    assert "kept" in platform.kubectl("exec", "web-0", "--", "sh", "-c", "busybox cat /data/file")


def test_purged_it_leaves_nothing(cluster: Cluster, platform: Platform) -> None:
    cluster.down(QuietSteps(), purge=True)
    assert platform.leftovers() == []
    assert not (platform.state / "esq" / "clusters" / NAME).exists()
