"""Three zones on this machine: one story, told in order, from nothing to nothing."""

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
from infra.zones.bootstrap_manifests import STORAGE_CLASS
from infra.zones.nodes import ZONE_LABEL
from tests.servers.registry import push
from tests.servers.zones import ZonesUnderTest, host_settings, seconds_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SLOW = 4.0
"""Ceilings are this many times what an idle machine takes: tests share theirs."""
READY_SECONDS = 8.0 * SLOW
AGAIN_SECONDS = 1.0 * SLOW
NOTICED_SECONDS = 6.0 * SLOW
BACK_SECONDS = 8.0 * SLOW
PODS_SECONDS = 60.0

SERVE = 'mkdir -p /www && echo "$ZONE" > /www/index.html && exec busybox httpd -f -p 8080 -h /www'
KEEP = 'echo "$WORD" >> /data/words && exec tail -f /dev/null'
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
}


def web(image: str) -> dict[str, Any]:
    """A web server in every zone that says where it is."""
    spread = {
        "maxSkew": 1,
        "topologyKey": ZONE_LABEL,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    place = {"name": "ZONE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    container = {
        "name": "web",
        "image": image,
        "command": ["sh", "-c", SERVE],
        "env": [place],
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


def keeper(image: str, word: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A volume of unnamed class, and a pod that adds a word to a file on it."""
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}},
    }
    container = {
        "name": "keeper",
        "image": image,
        "command": ["sh", "-c", KEEP],
        "env": [{"name": "WORD", "value": word}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "keeper", "namespace": "default"},
        "spec": {
            "containers": [container],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            "terminationGracePeriodSeconds": 0,
        },
    }
    return volume, pod


@pytest.fixture
def answers(zones: ZonesUnderTest) -> Callable[[], set[str]]:
    """Asks the web servers by their ClusterIP from the host, some times; returns the zones that answered."""
    address = zones.get("service", "web")["spec"]["clusterIP"]

    def ask() -> set[str]:
        heard = set()
        for _ in range(12):
            try:
                heard.add(httpx.get(f"http://{address}", timeout=0.5).text.strip())
            except httpx.HTTPError:
                continue
        return heard

    return ask


@pytest.fixture(scope="module")
def image(zones: ZonesUnderTest) -> str:
    """An image that nodes must pull from the registry."""
    return push(busybox_image.archive(), zones.cluster.registry, "itest/web", zones.cluster.ca)


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    """Settings of the machine before the cluster."""
    return host_settings()


def test_nothing_of_it_is_there_before(zones: ZonesUnderTest, before: dict[str, str]) -> None:
    assert before
    assert zones.leaked_resources() == []
    assert zones.cluster.preflight() == []


def test_three_zones_are_ready_soon(zones: ZonesUnderTest) -> None:
    seconds = zones.up()
    status = zones.cluster.status()
    assert {(node.name, node.zone, node.ready) for node in status.nodes} == {
        (zone, zone, True) for zone in ("zone-a", "zone-b", "zone-c")
    }
    assert seconds < READY_SECONDS
    seconds_until(lambda: zones.cluster.status().healthy, timeout=BACK_SECONDS)
    assert {"etcd", "edge", "zone-b", "zone-b/kubelet"} <= zones.cluster.status().processes.keys()
    assert len(zones.leaked_resources()) > len(status.processes)  # what looks for leftovers has eyes


def test_only_its_owner_reads_the_kubeconfig(zones: ZonesUnderTest) -> None:
    assert stat.S_IMODE(zones.cluster.kubeconfig.stat().st_mode) == 0o600
    assert stat.S_IMODE(zones.state.stat().st_mode) == 0o700


def test_up_again_changes_nothing(zones: ZonesUnderTest) -> None:
    before = zones.daemons()
    seconds = zones.up()
    assert zones.daemons() == before
    assert zones.steps.steps[-1].results == ["already running"]
    assert seconds < AGAIN_SECONDS


def test_without_a_certificate_nobody_answers(zones: ZonesUnderTest) -> None:
    trusted = ssl.create_default_context(cafile=str(zones.cluster.ca))
    for url in (
        f"https://{zones.cluster.spec.control}:6443/api",
        f"https://{zones.cluster.spec.node('zone-a')}:10250/pods",
    ):
        assert httpx.get(url, verify=trusted).status_code == httpx.codes.UNAUTHORIZED


def test_the_edge_answers_over_tls(zones: ZonesUnderTest) -> None:
    trusted = ssl.create_default_context(cafile=str(zones.cluster.ca))
    address = f"https://{zones.cluster.address}"
    assert httpx.get(f"{address}/edge/health", verify=trusted).status_code == httpx.codes.OK
    assert httpx.get(f"{address}/elsewhere", verify=trusted).status_code == httpx.codes.NOT_FOUND
    assert httpx.get(f"{address}/contacts", verify=trusted).status_code == httpx.codes.SERVICE_UNAVAILABLE


def test_pods_in_every_zone_answer_the_host_through_a_cluster_ip(zones: ZonesUnderTest, image: str) -> None:
    zones.apply(web(image), SERVICE)
    zones.kubectl("rollout", "status", "deployment/web", f"--timeout={PODS_SECONDS:.0f}s")


def test_every_zone_is_among_the_answers(answers: Callable[[], set[str]]) -> None:
    seconds_until(lambda: answers() == {"zone-a", "zone-b", "zone-c"}, timeout=BACK_SECONDS)


def test_names_resolve_in_a_pod(zones: ZonesUnderTest) -> None:
    def inside(*words: str) -> str:
        return zones.kubectl("exec", "deployment/web", "--", "busybox", *words)

    assert str(zones.cluster.spec.service_range[1]) in inside(
        "nslookup", "kubernetes.default.svc.cluster.local"
    )
    assert inside("wget", "-qO-", "http://web").startswith("zone-")


def test_a_volume_outlives_its_pod(zones: ZonesUnderTest, image: str) -> None:
    zones.apply(*keeper(image, "one"))
    zones.kubectl("wait", "--for=condition=Ready", "pod/keeper", f"--timeout={PODS_SECONDS:.0f}s")
    assert zones.get("pvc", "data")["spec"]["storageClassName"] == STORAGE_CLASS
    zones.kubectl("delete", "pod", "keeper")
    zones.apply(*keeper(image, "two"))
    zones.kubectl("wait", "--for=condition=Ready", "pod/keeper", f"--timeout={PODS_SECONDS:.0f}s")
    assert zones.kubectl("exec", "keeper", "--", "busybox", "cat", "/data/words").split() == ["one", "two"]


def test_a_dead_process_comes_back(zones: ZonesUnderTest) -> None:
    killed = zones.pid("kube-scheduler")
    os.kill(killed, signal.SIGKILL)
    seconds_until(
        lambda: zones.cluster.status().healthy and zones.pid("kube-scheduler") != killed, timeout=BACK_SECONDS
    )


def test_a_killed_zone_comes_back_with_its_pods(
    zones: ZonesUnderTest, answers: Callable[[], set[str]]
) -> None:
    old = [psutil.Process(zones.pid("kubelet --config=" + str(zones.state / "config/zone-b")))]
    zones.cluster.kill("zone-b")
    assert psutil.wait_procs(old, timeout=BACK_SECONDS)[1] == []
    seconds_until(lambda: zones.cluster.status().healthy, timeout=BACK_SECONDS)
    seconds_until(lambda: "zone-b" in answers(), timeout=PODS_SECONDS)


def test_a_lost_zone_is_noticed_and_back_when_it_returns(zones: ZonesUnderTest) -> None:
    zones.cluster.stop("zone-c")
    seconds = seconds_until(lambda: not zones.ready("zone-c"), timeout=NOTICED_SECONDS)
    zones.cluster.start("zone-c")
    back = seconds_until(lambda: zones.ready("zone-c"), timeout=BACK_SECONDS)
    zones.figures.append(f"zone-c stopped: noticed after {seconds:.1f} s, ready {back:.1f} s after its start")


def test_a_cut_zone_is_noticed_and_back_when_it_is_healed(zones: ZonesUnderTest) -> None:
    zones.cluster.disconnect("zone-a")
    seconds = seconds_until(lambda: not zones.ready("zone-a"), timeout=NOTICED_SECONDS)
    zones.cluster.reconnect("zone-a")
    back = seconds_until(lambda: zones.ready("zone-a"), timeout=BACK_SECONDS)
    zones.figures.append(f"zone-a cut: noticed after {seconds:.1f} s, ready {back:.1f} s after it was healed")


def test_up_mends_what_is_not_there(zones: ZonesUnderTest) -> None:
    zones.cluster.stop("zone-c")
    zones.cluster.disconnect("zone-a")
    zones.up()
    assert zones.cluster.status().healthy


def test_changed_configuration_is_taken_over_by_what_reads_it_only(
    zones: ZonesUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = zones.daemons()
    rendered = edge.render
    monkeypatch.setattr(edge, "render", lambda *words: rendered(*words) + "# another\n")
    zones.up()
    after = zones.daemons()
    gone = {name for pid, name in before.items() if pid not in after}
    assert gone == {"haproxy"}


def test_up_takes_over_after_its_supervisor_was_killed(zones: ZonesUnderTest) -> None:
    supervisor = zones.cluster.supervisor_pid
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    seconds_until(lambda: zones.cluster.supervisor_pid is None, timeout=BACK_SECONDS)
    zones.up()
    assert zones.pid("/etcd --data-dir=")  # one, not two
    seconds_until(lambda: zones.cluster.status().healthy, timeout=BACK_SECONDS)


def test_another_subnet_under_the_same_name_is_refused(zones: ZonesUnderTest) -> None:
    with pytest.raises(UsageError, match=r"10\.97\.0\.0/16"):
        zones.with_network("10.95.").up(RecordingProgress())
    assert zones.cluster.status().healthy


def test_a_subnet_that_is_taken_is_told(zones: ZonesUnderTest, beside: ZonesUnderTest) -> None:
    assert {problem.location for problem in beside.with_network(zones.network).preflight()} == {"subnet"}


def test_another_cluster_stands_beside_it(zones: ZonesUnderTest, beside: ZonesUnderTest) -> None:
    before = zones.daemons()
    beside.up()
    seconds_until(lambda: beside.cluster.status().healthy, timeout=BACK_SECONDS)
    assert len(beside.leaked_resources()) > len(before)
    beside.cluster.down(RecordingProgress(), purge=True)
    assert beside.leaked_resources() == []
    assert zones.daemons() == before
    assert zones.cluster.status().healthy


def test_the_command_line_tells_the_same(zones: ZonesUnderTest, caches: Path) -> None:
    from cli.commands.cluster import app  # noqa: PLC0415 - only here

    def esq(*words: str) -> str:
        folders = {"XDG_STATE_HOME": str(zones.folder), "XDG_CACHE_HOME": str(caches)}
        answer = CliRunner().invoke(app, [*words, "--name", zones.name], env=folders)
        assert answer.exit_code == 0, answer.output
        return answer.stdout

    told = json.loads(esq("status", "--json"))
    assert told["edge"] == f"https://{zones.cluster.address}"
    assert told["healthy"]
    assert {"apiserver", "zone-a/kubelet"} <= set(esq("logs").split())
    assert "starting containerd" in esq("logs", "zone-c/containerd", "--lines", "5000")


def test_the_machine_keeps_its_settings(before: dict[str, str]) -> None:
    assert host_settings() == before


def test_down_leaves_nothing_but_the_state(zones: ZonesUnderTest) -> None:
    zones.cluster.down(zones.steps)
    assert zones.leaked_resources() == []
    assert not zones.cluster.status().running


def test_up_brings_the_same_cluster_back_with_its_data(zones: ZonesUnderTest) -> None:
    zones.up()

    def words() -> list[str]:
        # The pod counts as ready, as it was, until its kubelet has looked after it.
        with suppress(CommandFailedError):
            return zones.kubectl("exec", "keeper", "--", "busybox", "cat", "/data/words").split()[:2]
        return []

    seconds_until(lambda: words() == ["one", "two"], PODS_SECONDS)


def test_a_purge_takes_the_state_away_as_well(zones: ZonesUnderTest) -> None:
    zones.cluster.down(zones.steps, purge=True)
    assert zones.leaked_resources() == []
    assert not zones.state.exists()
