"""What the processes of a cluster are told: the settings that its promises rest on."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING

import yaml

from infra.zones import (
    bootstrap_manifests,
    busybox_image,
    control_plane,
    disks,
    edge,
    nodes,
    registry,
    supervisord,
    wait_for_apiserver,
)
from services.contracts.endpoints import PUBLIC_ENDPOINTS, READINESS_PATH

if TYPE_CHECKING:
    from pathlib import Path

    from infra.zones.control_plane import Tools
    from infra.zones.paths import ClusterPaths
    from infra.zones.spec import ClusterSpec


def test_nobody_is_anonymous_and_rights_are_asked_for(spec: ClusterSpec, layout: ClusterPaths) -> None:
    flags = control_plane.apiserver_flags(spec, layout)
    assert "--anonymous-auth=false" in flags
    assert "--authorization-mode=Node,RBAC" in flags
    assert any(flag.startswith("--encryption-provider-config=") for flag in flags)
    kubelet = json.loads(nodes.kubelet_json(spec, layout, "zone-a"))
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["authorization"] == {"mode": "Webhook"}


def test_etcd_syncs_to_disk_and_wants_certificates(layout: ClusterPaths) -> None:
    flags = control_plane.etcd_flags(layout)
    assert "--client-cert-auth" in flags
    assert not any("unsafe" in flag for flag in flags)


def test_a_lost_node_is_noticed_in_seconds(spec: ClusterSpec, layout: ClusterPaths) -> None:
    controllers = control_plane.controller_manager_flags(spec, layout)
    assert "--node-monitor-grace-period=5s" in controllers
    assert "--node-eviction-rate=2" in controllers
    assert json.loads(nodes.kubelet_json(spec, layout, "zone-a"))["nodeLeaseDurationSeconds"] == 4


def test_controllers_wait_for_the_api_server(spec: ClusterSpec, layout: ClusterPaths, tools: Tools) -> None:
    layout.config.mkdir(parents=True)
    programs = {program.name: program for program in control_plane.programs(spec, layout, tools)}
    assert set(programs) == {"etcd", "apiserver", "controller-manager", "scheduler", "proxy", "volumes"}
    for name in ("controller-manager", "scheduler", "proxy"):
        assert (
            programs[name].argv[programs[name].argv.index(wait_for_apiserver.__file__) + 2]
            == wait_for_apiserver.READY_PATH
        )
    assert control_plane.VOLUME_SCRIPTS_PATH in programs["volumes"].argv


def test_the_edge_asks_every_zone_of_every_face(spec: ClusterSpec, layout: ClusterPaths) -> None:
    text = edge.render(spec, layout)
    for face in PUBLIC_ENDPOINTS:
        backend = text.split(f"backend {face.service}\n")[1].split("\nbackend")[0]
        assert f"option httpchk GET {READINESS_PATH}" in backend
        assert "verify required" in backend
        assert f"verifyhost {face.service} " in backend
        for zone in spec.zones:
            assert f"server {zone} {spec.node(zone)}:{face.node_port}" in backend
    assert f"bind {spec.gateway}:443 ssl" in text


def test_only_requests_nobody_has_seen_or_that_only_ask_are_sent_again(
    spec: ClusterSpec, layout: ClusterPaths
) -> None:
    text = edge.render(spec, layout)
    assert "retry-on conn-failure empty-response 503\n" in text
    assert "http-request disable-l7-retry unless METH_GET\n" in text


def test_a_node_keeps_the_hosts_settings_and_paths_to_itself(spec: ClusterSpec, layout: ClusterPaths) -> None:
    script = nodes.init_script(spec, layout, "zone-b")
    assert script.index("make-rshared") < script.index("mount --bind") < script.index("exec ")
    for path in ("/var/lib/kubelet", "/var/lib/containerd", "/etc/cni/net.d", "/proc/sys/kernel/panic"):
        assert f" {path}\n" in script


def test_a_node_is_in_its_groups_before_anything_else_and_mounts_its_disk_once_it_is_detached(
    spec: ClusterSpec, layout: ClusterPaths
) -> None:
    script = nodes.init_script(spec, layout, "zone-b")
    disk = disks.disk_file(layout, "zone-b")
    assert script.index(f"/{spec.namespace('zone-b')}") < script.index("mount ")
    assert script.index(f"losetup -j '{disk}'") < script.index(
        f"mount -o loop,noatime '{disk}' {disks.MOUNT_POINT}"
    )


def test_a_node_writes_everything_it_reads(spec: ClusterSpec, layout: ClusterPaths, tools: Tools) -> None:
    program = nodes.node_program(spec, layout, tools, "zone-a")
    assert program.signal == "KILL"
    written = {path.name for path in (layout.config / "zone-a").rglob("*") if path.is_file()}
    wanted = {
        "start.sh",
        "init.sh",
        "containerd.toml",
        "kubelet.json",
        "proxy.json",
        "Corefile",
        "supervisor.conf",
    }
    assert wanted <= written
    hosts = layout.config / "zone-a" / "registries" / spec.registry / "hosts.toml"
    assert f"{layout.pki}/ca.crt" in hosts.read_text()
    assert (layout.node("zone-a") / "etc/hostname").read_text() == "zone-a\n"


def test_pods_ask_the_dns_of_their_own_node(spec: ClusterSpec, layout: ClusterPaths) -> None:
    kubelet = json.loads(nodes.kubelet_json(spec, layout, "zone-c"))
    assert kubelet["clusterDNS"] == [str(spec.node("zone-c"))]
    assert f"bind {spec.node('zone-c')}\n" in nodes.corefile(spec, layout, "zone-c")


def test_the_pod_network_of_a_zone_is_its_own(spec: ClusterSpec) -> None:
    ranges = [
        json.loads(nodes.cni_json(spec, zone))["plugins"][0]["ipam"]["ranges"][0][0]["subnet"]
        for zone in spec.zones
    ]
    assert ranges == [str(spec.pods(zone)) for zone in spec.zones]


def test_volumes_wait_for_their_first_consumer() -> None:
    objects = list(yaml.safe_load_all(bootstrap_manifests.manifests()))
    classes = [each for each in objects if each["kind"] == "StorageClass"]
    assert [each["volumeBindingMode"] for each in classes] == ["WaitForFirstConsumer"]
    assert classes[0]["provisioner"] == control_plane.PROVISIONER


def test_no_part_of_the_cluster_is_an_administrator() -> None:
    bindings = [
        each
        for each in yaml.safe_load_all(bootstrap_manifests.manifests())
        if each["kind"].endswith("Binding")
    ]
    assert bindings
    assert all(each["roleRef"]["name"] != "cluster-admin" for each in bindings)


def test_the_registry_speaks_tls_on_the_bridge_only(
    spec: ClusterSpec, layout: ClusterPaths, tmp_path: Path
) -> None:
    config = json.loads(registry.render(spec, layout, tmp_path))
    assert config["http"]["addr"] == f"{spec.gateway}:5000"
    assert config["http"]["tls"]["certificate"] == str(layout.pki / "gateway.crt")


def test_the_toolbox_is_an_image_of_busybox_alone(tmp_path: Path) -> None:
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"not really busybox")
    first = busybox_image.archive(busybox)
    assert busybox_image.archive(busybox) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as image:
        manifest = json.load(image.extractfile("manifest.json"))  # type: ignore[arg-type]  # it is a file
        assert manifest[0]["RepoTags"] == [control_plane.BUSYBOX_IMAGE]
        layer = io.BytesIO(image.extractfile("layer.tar").read())  # type: ignore[union-attr]  # same
    with tarfile.open(fileobj=layer) as files:
        assert {"bin/busybox", "bin/sh", "bin/tail"} <= set(files.getnames())


def test_supervised_programs_start_again_and_keep_bounded_logs(tmp_path: Path) -> None:
    program = supervisord.Program(
        "web", ["serve", "50%", "two words"], tmp_path / "web.log", environment={"A": "b"}
    )
    text = supervisord.render([program], socket=tmp_path / "s", pidfile=tmp_path / "p", log=tmp_path / "l")
    assert "command=serve 50%% 'two words'\n" in text
    assert "autorestart=true\n" in text
    assert "stdout_logfile_maxbytes=10MB\n" in text
    assert 'environment=A="b"\n' in text
