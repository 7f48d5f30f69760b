"""Flags and configuration files that the SLOs of a cluster depend on."""

from __future__ import annotations

import io
import json
import re
import tarfile
from typing import TYPE_CHECKING

import pytest
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
from infra.zones.toolchain.tools import PINS_FOLDER
from services.contracts.endpoints import PUBLIC_ENDPOINTS, READINESS_PATH

if TYPE_CHECKING:
    from pathlib import Path

    from infra.zones.control_plane import Tools
    from infra.zones.paths import ClusterPaths
    from infra.zones.spec import ClusterSpec


def test_anonymous_access_is_disabled_and_rbac_is_enabled(spec: ClusterSpec, paths: ClusterPaths) -> None:
    flags = control_plane.apiserver_flags(spec, paths)
    assert "--anonymous-auth=false" in flags
    assert "--authorization-mode=Node,RBAC" in flags
    assert any(flag.startswith("--encryption-provider-config=") for flag in flags)
    kubelet = json.loads(nodes.kubelet_json(spec, paths, "zone-a"))
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["authorization"] == {"mode": "Webhook"}


def test_etcd_syncs_to_disk_and_requires_certificates(paths: ClusterPaths) -> None:
    flags = control_plane.etcd_flags(paths)
    assert "--client-cert-auth" in flags
    assert not any("unsafe" in flag for flag in flags)


def test_lost_node_is_detected_within_seconds(spec: ClusterSpec, paths: ClusterPaths) -> None:
    controllers = control_plane.controller_manager_flags(spec, paths)
    assert "--node-monitor-grace-period=5s" in controllers
    assert "--node-eviction-rate=2" in controllers
    assert json.loads(nodes.kubelet_json(spec, paths, "zone-a"))["nodeLeaseDurationSeconds"] == 4


def test_controllers_wait_for_the_api_server(spec: ClusterSpec, paths: ClusterPaths, tools: Tools) -> None:
    paths.config.mkdir(parents=True)
    programs = {program.name: program for program in control_plane.programs(spec, paths, tools)}
    assert set(programs) == {"etcd", "apiserver", "controller-manager", "scheduler", "proxy", "volumes"}
    for name in ("controller-manager", "scheduler", "proxy"):
        assert (
            programs[name].argv[programs[name].argv.index(wait_for_apiserver.__file__) + 2]
            == wait_for_apiserver.READY_PATH
        )
    assert control_plane.VOLUME_SCRIPTS_PATH in programs["volumes"].argv


def test_edge_checks_every_public_endpoint_in_every_zone(spec: ClusterSpec, paths: ClusterPaths) -> None:
    text = edge.render(spec, paths)
    for endpoint in PUBLIC_ENDPOINTS:
        backend = text.split(f"backend {endpoint.service}\n")[1].split("\nbackend")[0]
        assert f"option httpchk GET {READINESS_PATH}" in backend
        assert "verify required" in backend
        assert f"verifyhost {endpoint.service} " in backend
        for zone in spec.zones:
            assert f"server {zone} {spec.node(zone)}:{endpoint.node_port}" in backend
    assert f"bind {spec.gateway}:443 ssl" in text


def test_edge_retries_only_unsent_requests_and_gets(spec: ClusterSpec, paths: ClusterPaths) -> None:
    text = edge.render(spec, paths)
    assert "retry-on conn-failure empty-response 503\n" in text
    assert "http-request disable-l7-retry unless METH_GET\n" in text


def test_node_mounts_private_sysctls_and_paths(spec: ClusterSpec, paths: ClusterPaths) -> None:
    script = nodes.init_script(spec, paths, "zone-b")
    assert script.index("make-rshared") < script.index("mount --bind") < script.index("exec ")
    for path in ("/var/lib/kubelet", "/var/lib/containerd", "/etc/cni/net.d", "/proc/sys/kernel/panic"):
        assert f" {path}\n" in script


def test_node_joins_its_groups_first_and_mounts_its_disk_after_detachment(
    spec: ClusterSpec, paths: ClusterPaths
) -> None:
    script = nodes.init_script(spec, paths, "zone-b")
    disk = disks.disk_file(paths, "zone-b")
    assert script.index(f"/{spec.namespace('zone-b')}") < script.index("mount ")
    assert script.index(f"losetup -j {disk}") < script.index(
        f"mount -o loop,noatime {disk} {disks.MOUNT_POINT}"
    )


def test_etcd_runs_on_the_disk_of_the_control_plane(
    spec: ClusterSpec, paths: ClusterPaths, tools: Tools
) -> None:
    """Its data survives a power loss only with a disk that can have one."""
    etcd = next(program for program in control_plane.programs(spec, paths, tools) if program.name == "etcd")
    start = paths.config / "etcd.sh"
    disk = disks.disk_file(paths, disks.CONTROL_PLANE)
    assert str(start) in etcd.argv
    assert start in etcd.watched_files
    assert disk.exists()
    assert f"mount -o loop,noatime {disk} {paths.etcd}\n" in start.read_text()
    assert f"--data-dir={paths.etcd}/data" in etcd.argv
    assert not any("no-fsync" in argument for argument in etcd.argv)


def test_node_writes_all_of_its_files(spec: ClusterSpec, paths: ClusterPaths, tools: Tools) -> None:
    program = nodes.node_program(spec, paths, tools, "zone-a")
    assert program.signal == "KILL"
    written = {path.name for path in (paths.config / "zone-a").rglob("*") if path.is_file()}
    expected = {
        "start.sh",
        "init.sh",
        "containerd.toml",
        "kubelet.json",
        "proxy.json",
        "Corefile",
        "supervisor.conf",
    }
    assert expected <= written
    hosts = paths.config / "zone-a" / "registries" / spec.registry / "hosts.toml"
    assert f"{paths.pki}/ca.crt" in hosts.read_text()
    assert (paths.node("zone-a") / "etc/hostname").read_text() == "zone-a\n"


def test_pods_use_the_dns_of_their_node(spec: ClusterSpec, paths: ClusterPaths) -> None:
    kubelet = json.loads(nodes.kubelet_json(spec, paths, "zone-c"))
    assert kubelet["clusterDNS"] == [str(spec.node("zone-c"))]
    assert f"bind {spec.node('zone-c')}\n" in nodes.corefile(spec, paths, "zone-c")


def test_dns_contains_the_plugins_of_its_configuration(spec: ClusterSpec, paths: ClusterPaths) -> None:
    lines = nodes.corefile(spec, paths, "zone-a").splitlines()
    used = {line.split()[0] for line in lines if line.startswith("    ") and line[4] not in " }"}
    main = (PINS_FOLDER / "go" / "coredns" / "main.go").read_text()
    assert used == set(re.findall(r'"github.com/coredns/coredns/plugin/(\w+)"', main))
    assert used == set(re.findall(r'"(\w+)"', main.partition("Directives = ")[2]))


def test_pod_networks_are_per_zone(spec: ClusterSpec) -> None:
    ranges = [
        json.loads(nodes.cni_json(spec, zone))["plugins"][0]["ipam"]["ranges"][0][0]["subnet"]
        for zone in spec.zones
    ]
    assert ranges == [str(spec.pods(zone)) for zone in spec.zones]


def test_volumes_bind_to_their_first_consumer() -> None:
    objects = list(yaml.safe_load_all(bootstrap_manifests.manifests()))
    classes = [obj for obj in objects if obj["kind"] == "StorageClass"]
    assert [storage_class["volumeBindingMode"] for storage_class in classes] == ["WaitForFirstConsumer"]
    assert classes[0]["provisioner"] == control_plane.PROVISIONER


def test_no_component_is_bound_to_cluster_admin() -> None:
    bindings = [
        obj for obj in yaml.safe_load_all(bootstrap_manifests.manifests()) if obj["kind"].endswith("Binding")
    ]
    assert bindings
    assert all(binding["roleRef"]["name"] != "cluster-admin" for binding in bindings)


def test_registry_is_behind_the_edge(spec: ClusterSpec, paths: ClusterPaths, tmp_path: Path) -> None:
    config = json.loads(registry.render(paths, tmp_path))
    assert config["http"] == {"net": "unix", "addr": str(paths.run / "registry.sock")}
    assert f"bind {spec.gateway}:5000 ssl" in registry.frontend(spec, paths)


def test_busybox_image_is_deterministic_and_contains_only_busybox(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(("machine", "architecture"), [("x86_64", "amd64"), ("aarch64", "arm64")])
def test_busybox_image_has_the_architecture_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str, architecture: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    (tmp_path / "busybox").write_bytes(b"not really busybox")
    with tarfile.open(fileobj=io.BytesIO(busybox_image.archive(tmp_path / "busybox"))) as image:
        config = json.load(image.extractfile("config.json"))  # type: ignore[arg-type]  # it is a file
    assert config["architecture"] == architecture


def test_supervised_programs_restart_and_have_bounded_logs(tmp_path: Path) -> None:
    program = supervisord.Program(
        "web", ["serve", "50%", "two words"], tmp_path / "web.log", environment={"A": "b"}
    )
    text = supervisord.render([program], socket=tmp_path / "s", pidfile=tmp_path / "p", log=tmp_path / "l")
    assert "command=serve 50%% 'two words'\n" in text
    assert "autorestart=true\n" in text
    assert "stdout_logfile_maxbytes=10MB\n" in text
    assert 'environment=A="b"\n' in text
