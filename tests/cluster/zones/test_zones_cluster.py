"""Three zones on this host, from creation to removal; the tests run in order."""

from __future__ import annotations

import json
import os
import signal
import ssl
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
from typer.testing import CliRunner

from infra.errors import UsageError
from infra.progress import RecordingProgress
from infra.subprocesses import CommandFailedError
from infra.zones import busybox_image, edge
from infra.zones.api import Api
from infra.zones.bootstrap_manifests import STORAGE_CLASS
from infra.zones.nodes import ZONE_LABEL
from tests.servers.registry import push
from tests.servers.zones import ZonesUnderTest, host_settings, seconds_until, supervisor_pid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

TIMEOUT_MULTIPLIER = 4.0
"""Limits are this multiple of the durations on an idle host, since tests share the host."""
READY_LIMIT_SECONDS = 8.0 * TIMEOUT_MULTIPLIER
UNCHANGED_LIMIT_SECONDS = 1.0 * TIMEOUT_MULTIPLIER
DETECTION_LIMIT_SECONDS = 6.0 * TIMEOUT_MULTIPLIER
RECOVERY_LIMIT_SECONDS = 8.0 * TIMEOUT_MULTIPLIER
PODS_TIMEOUT_SECONDS = 60.0

SERVE = 'mkdir -p /www && echo "$ZONE" > /www/index.html && exec busybox httpd -f -p 8080 -h /www'
APPEND = 'echo "$WORD" >> /data/words && exec tail -f /dev/null'
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
}


def web(image: str) -> dict[str, Any]:
    """Return a web server in every zone that responds with its zone."""
    spread = {
        "maxSkew": 1,
        "topologyKey": ZONE_LABEL,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    zone_variable = {"name": "ZONE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    container = {
        "name": "web",
        "image": image,
        "command": ["sh", "-c", SERVE],
        "env": [zone_variable],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [container],
                    "topologySpreadConstraints": [spread],
                    "terminationGracePeriodSeconds": 0,
                },
            },
        },
    }


def volume_and_pod(image: str, word: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a claim without a storage class, and a pod that appends a word to a file on it."""
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}},
    }
    container = {
        "name": "appender",
        "image": image,
        "command": ["sh", "-c", APPEND],
        "env": [{"name": "WORD", "value": word}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "appender", "namespace": "default"},
        "spec": {
            "containers": [container],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            "terminationGracePeriodSeconds": 0,
        },
    }
    return volume, pod


@pytest.fixture
def responding_zones(zones: ZonesUnderTest) -> Callable[[], set[str]]:
    """Requests the web servers by their ClusterIP from the host; returns the zones that responded."""
    address = zones.get("service", "web")["spec"]["clusterIP"]

    def request() -> set[str]:
        responses = set()
        for _ in range(12):
            try:
                responses.add(httpx.get(f"http://{address}", timeout=0.5).text.strip())
            except httpx.HTTPError:
                continue
        return responses

    return request


@pytest.fixture(scope="module")
def image(zones: ZonesUnderTest) -> str:
    """An image in the registry."""
    return push(busybox_image.archive(), zones.cluster.registry_access, "itest/web")


@pytest.fixture(scope="module")
def settings_before() -> dict[str, str]:
    """Settings of the host before the cluster is started."""
    return host_settings()


def test_host_is_clean_before(zones: ZonesUnderTest, settings_before: dict[str, str]) -> None:
    assert settings_before
    assert zones.leaked_resources() == []
    assert zones.cluster.preflight() == []


def test_three_zones_become_ready(zones: ZonesUnderTest) -> None:
    seconds = zones.up()
    status = zones.cluster.status()
    assert {(node.name, node.zone, node.ready) for node in status.nodes} == {
        (zone, zone, True) for zone in ("zone-a", "zone-b", "zone-c")
    }
    assert seconds < READY_LIMIT_SECONDS
    seconds_until(lambda: zones.cluster.status().healthy, timeout=RECOVERY_LIMIT_SECONDS)
    assert {"etcd", "edge", "zone-b", "zone-b/kubelet"} <= zones.cluster.status().processes.keys()
    assert len(zones.leaked_resources()) > len(status.processes)  # proves that leaked resources are detected


def test_kubeconfig_is_private(zones: ZonesUnderTest) -> None:
    assert stat.S_IMODE(zones.cluster.kubeconfig.stat().st_mode) == 0o600
    assert stat.S_IMODE(zones.state.stat().st_mode) == 0o700


def test_up_of_a_running_cluster_changes_nothing(zones: ZonesUnderTest) -> None:
    before = zones.daemons()
    seconds = zones.up()
    assert zones.daemons() == before
    assert zones.steps.steps[-1].results == ["already running"]
    assert seconds < UNCHANGED_LIMIT_SECONDS


def test_requests_without_a_certificate_are_unauthorized(zones: ZonesUnderTest) -> None:
    trusted = ssl.create_default_context(cafile=str(zones.cluster.ca))
    for url in (
        f"https://{zones.cluster.spec.control}:6443/api",
        f"https://{zones.cluster.spec.node('zone-a')}:10250/pods",
    ):
        assert httpx.get(url, verify=trusted).status_code == httpx.codes.UNAUTHORIZED


def test_edge_serves_tls(zones: ZonesUnderTest) -> None:
    trusted = ssl.create_default_context(cafile=str(zones.cluster.ca))
    address = f"https://{zones.cluster.address}"
    assert httpx.get(f"{address}/edge/health", verify=trusted).status_code == httpx.codes.OK
    assert httpx.get(f"{address}/elsewhere", verify=trusted).status_code == httpx.codes.NOT_FOUND
    assert httpx.get(f"{address}/contacts", verify=trusted).status_code == httpx.codes.SERVICE_UNAVAILABLE


def test_pods_run_with_an_image_of_the_registry(zones: ZonesUnderTest, image: str) -> None:
    zones.apply(web(image), SERVICE)
    zones.kubectl("rollout", "status", "deployment/web", f"--timeout={PODS_TIMEOUT_SECONDS:.0f}s")


def test_cluster_ip_reaches_pods_in_every_zone(responding_zones: Callable[[], set[str]]) -> None:
    seconds_until(
        lambda: responding_zones() == {"zone-a", "zone-b", "zone-c"}, timeout=RECOVERY_LIMIT_SECONDS
    )


def test_names_resolve_in_pods(zones: ZonesUnderTest) -> None:
    def in_pod(*args: str) -> str:
        return zones.kubectl("exec", "deployment/web", "--", "busybox", *args)

    assert str(zones.cluster.spec.service_range[1]) in in_pod(
        "nslookup", "kubernetes.default.svc.cluster.local"
    )
    assert in_pod("wget", "-qO-", "http://web").startswith("zone-")


def test_volume_outlives_its_pod(zones: ZonesUnderTest, image: str) -> None:
    zones.apply(*volume_and_pod(image, "one"))
    zones.kubectl("wait", "--for=condition=Ready", "pod/appender", f"--timeout={PODS_TIMEOUT_SECONDS:.0f}s")
    assert zones.get("pvc", "data")["spec"]["storageClassName"] == STORAGE_CLASS
    zones.kubectl("delete", "pod", "appender")
    zones.apply(*volume_and_pod(image, "two"))
    zones.kubectl("wait", "--for=condition=Ready", "pod/appender", f"--timeout={PODS_TIMEOUT_SECONDS:.0f}s")
    assert zones.kubectl("exec", "appender", "--", "busybox", "cat", "/data/words").split() == ["one", "two"]


def test_killed_process_is_restarted(zones: ZonesUnderTest) -> None:
    killed = zones.pid("kube-scheduler")
    os.kill(killed, signal.SIGKILL)
    seconds_until(
        lambda: zones.cluster.status().healthy and zones.pid("kube-scheduler") != killed,
        timeout=RECOVERY_LIMIT_SECONDS,
    )


def test_killed_zone_recovers_with_its_pods(
    zones: ZonesUnderTest, responding_zones: Callable[[], set[str]]
) -> None:
    old = [psutil.Process(zones.pid("kubelet --config=" + str(zones.state / "config/zone-b")))]
    zones.cluster.kill("zone-b")
    assert psutil.wait_procs(old, timeout=RECOVERY_LIMIT_SECONDS)[1] == []
    seconds_until(lambda: zones.cluster.status().healthy, timeout=RECOVERY_LIMIT_SECONDS)
    seconds_until(lambda: "zone-b" in responding_zones(), timeout=PODS_TIMEOUT_SECONDS)


def test_stopped_zone_is_detected_and_recovers(zones: ZonesUnderTest) -> None:
    zones.cluster.stop("zone-c")
    seconds = seconds_until(lambda: not zones.ready("zone-c"), timeout=DETECTION_LIMIT_SECONDS)
    zones.cluster.start("zone-c")
    recovery = seconds_until(lambda: zones.ready("zone-c"), timeout=RECOVERY_LIMIT_SECONDS)
    zones.figures.append(
        f"zone-c stopped: detected after {seconds:.1f} s, ready {recovery:.1f} s after its start"
    )


def test_disconnected_zone_is_detected_and_recovers(zones: ZonesUnderTest) -> None:
    zones.cluster.disconnect("zone-a")
    seconds = seconds_until(lambda: not zones.ready("zone-a"), timeout=DETECTION_LIMIT_SECONDS)
    zones.cluster.reconnect("zone-a")
    recovery = seconds_until(lambda: zones.ready("zone-a"), timeout=RECOVERY_LIMIT_SECONDS)
    zones.figures.append(f"zone-a disconnected: detected after {seconds:.1f} s, ready {recovery:.1f} s later")


def test_up_restores_stopped_and_disconnected_zones(zones: ZonesUnderTest) -> None:
    zones.cluster.stop("zone-c")
    zones.cluster.disconnect("zone-a")
    zones.up()
    assert zones.cluster.status().healthy


def test_changed_configuration_restarts_only_its_reader(
    zones: ZonesUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = zones.daemons()
    rendered = edge.render
    monkeypatch.setattr(edge, "render", lambda *args: rendered(*args) + "# changed\n")
    zones.up()
    after = zones.daemons()
    restarted = {name for pid, name in before.items() if pid not in after}
    assert restarted == {"haproxy"}


def test_up_recovers_from_a_killed_supervisor(zones: ZonesUnderTest) -> None:
    supervisor = supervisor_pid(zones.cluster)
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    seconds_until(lambda: supervisor_pid(zones.cluster) is None, timeout=RECOVERY_LIMIT_SECONDS)
    zones.up()
    assert zones.pid("/etcd --data-dir=")  # one, not two
    seconds_until(lambda: zones.cluster.status().healthy, timeout=RECOVERY_LIMIT_SECONDS)


def test_up_completes_an_interrupted_one(zones: ZonesUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All processes run after the first `up` of a cluster was interrupted, but its objects are missing."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    zones.kubectl("delete", "storageclass", STORAGE_CLASS)
    zones.cluster.paths.applied_config.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Api, "apply", interrupt)
        with pytest.raises(KeyboardInterrupt):
            zones.up()
    zones.up()
    assert zones.get("storageclass", STORAGE_CLASS)["metadata"]["name"] == STORAGE_CLASS


def test_changed_subnet_is_rejected(zones: ZonesUnderTest) -> None:
    with pytest.raises(UsageError, match=r"10\.97\.0\.0/16"):
        zones.with_network("10.95.").up(RecordingProgress())
    assert zones.cluster.status().healthy


def test_subnet_in_use_is_reported(zones: ZonesUnderTest, second_cluster: ZonesUnderTest) -> None:
    assert {problem.location for problem in second_cluster.with_network(zones.network).preflight()} == {
        "subnet"
    }


def test_two_clusters_coexist(zones: ZonesUnderTest, second_cluster: ZonesUnderTest) -> None:
    before = zones.daemons()
    second_cluster.up()
    seconds_until(lambda: second_cluster.cluster.status().healthy, timeout=RECOVERY_LIMIT_SECONDS)
    assert len(second_cluster.leaked_resources()) > len(before)
    second_cluster.cluster.down(RecordingProgress(), purge=True)
    assert second_cluster.leaked_resources() == []
    assert zones.daemons() == before
    assert zones.cluster.status().healthy


def test_command_line_reports_the_same(zones: ZonesUnderTest, caches: Path) -> None:
    from cli.commands.cluster import app  # noqa: PLC0415 - only here

    def esq(*args: str) -> str:
        folders = {"XDG_STATE_HOME": str(zones.folder), "XDG_CACHE_HOME": str(caches)}
        result = CliRunner().invoke(app, [*args, "--name", zones.name], env=folders)
        assert result.exit_code == 0, result.output
        return result.stdout

    status = json.loads(esq("status", "--json"))
    assert status["edge"] == f"https://{zones.cluster.address}"
    assert status["healthy"]
    assert {"apiserver", "zone-a/kubelet"} <= set(esq("logs").split())
    assert "starting containerd" in esq("logs", "zone-c/containerd", "--lines", "5000")


def test_host_settings_are_unchanged(settings_before: dict[str, str]) -> None:
    assert host_settings() == settings_before


def test_down_leaves_only_the_state(zones: ZonesUnderTest) -> None:
    zones.cluster.down(zones.steps)
    assert zones.leaked_resources() == []
    assert not zones.cluster.status().running


def test_up_restores_the_cluster_with_its_data(zones: ZonesUnderTest) -> None:
    zones.up()

    def stored_words() -> list[str]:
        # The API server reports the pod as ready until its kubelet updates the status.
        with suppress(CommandFailedError):
            return zones.kubectl("exec", "appender", "--", "busybox", "cat", "/data/words").split()[:2]
        return []

    seconds_until(lambda: stored_words() == ["one", "two"], PODS_TIMEOUT_SECONDS)


def test_purge_deletes_the_state(zones: ZonesUnderTest) -> None:
    zones.cluster.down(zones.steps, purge=True)
    assert zones.leaked_resources() == []
    assert not zones.state.exists()
