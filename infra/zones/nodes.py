"""A node: its own network, mount, PID and UTS namespaces with containerd, kubelet, kube-proxy and DNS.

Inside, paths and ports are those of a dedicated machine. On the host all files are in the cluster's state
folder, and no mount is visible. Its volumes are on a disk of its own. All of its processes are in the zone's
control groups, so that a zone can be throttled or frozen as a whole. The node's first process is a supervisor
that also reaps. Killing it kills the zone: the kernel kills all other processes of the namespace at once.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from infra.files import write_atomically
from infra.names import DNS_HEALTH_PORT_LABEL
from infra.subprocesses import HIGH_PRIORITY_PREFIX
from infra.zones import cgroups, disks
from infra.zones.control_plane import BUSYBOX_IMAGE, proxy_config
from infra.zones.pki import kubelet_server
from infra.zones.spec import REGION
from infra.zones.supervisord import NODE_SOCKET, SUPERVISORD, Program, render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.zones.control_plane import Tools
    from infra.zones.paths import ClusterPaths
    from infra.zones.spec import ClusterSpec

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
ZONE_LABEL = "topology.kubernetes.io/zone"
DNS_HEALTH_PORT = 8053
REGION_LABEL = "topology.kubernetes.io/region"
_MEMORY_DIVISOR = 3
"""The three nodes share one machine; each offers a third of its memory to pods."""

_PRIVATE_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""Values that a kubelet would set on the whole host. It finds them set here; the host keeps its own."""

_FOLDERS = {
    "kubelet": "/var/lib/kubelet",
    "containerd": "/var/lib/containerd",
    "pods": "/var/log/pods",
    "containers": "/var/log/containers",
    "cni-state": "/var/lib/cni",
    "etc/cni": "/etc/cni/net.d",
}
_FILES = {"etc/hosts": "/etc/hosts", "etc/resolv.conf": "/etc/resolv.conf", "etc/hostname": "/etc/hostname"}


def node_program(spec: ClusterSpec, paths: ClusterPaths, tools: Tools, zone: str) -> Program:
    """Write all files of a node.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.
        tools: the toolchain.
        zone: zone of the node.

    Returns:
        The program that runs the node.
    """
    _write_files(spec, paths, zone)
    _write_configs(spec, paths, tools, zone)
    start = write_atomically(paths.config / zone / "start.sh", start_script(spec, paths, zone), 0o700)
    secrets = (
        "ca.crt",
        f"{kubelet_server(zone)}.crt",
        f"{zone}.kubeconfig",
        "proxy.kubeconfig",
        "dns.kubeconfig",
    )
    watched = [paths.config / zone, *(paths.pki / name for name in secrets)]
    return Program(zone, [str(start)], paths.log(zone), priority=40, signal="KILL", watched_files=watched)


def start_script(spec: ClusterSpec, paths: ClusterPaths, zone: str) -> str:
    """Return the script on the host: it recreates the control groups and enters the node's namespaces.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.
        zone: zone of the node.
    """
    group = spec.namespace(zone)
    return f"""\
#!/bin/sh
set -eu
{shlex.join([sys.executable, "-I", "-S", cgroups.__file__, group])}
unset KUBECONFIG http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
exec nsenter --net=/run/netns/{group} unshare --mount --propagation private --pid --fork --uts --ipc \\
    --mount-proc --kill-child=SIGKILL sh {shlex.quote(str(paths.config / zone / "init.sh"))}
"""


def init_script(spec: ClusterSpec, paths: ClusterPaths, zone: str) -> str:
    """Return the script of the node's first process: join the control groups, mount, exec the supervisor.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.
        zone: zone of the node.
    """
    node, config = paths.node(zone), paths.config / zone
    sysctls = {f"sysctl/{name.replace('/', '.')}": f"/proc/sys/{name}" for name in _PRIVATE_SYSCTLS}

    def bind(targets: Mapping[str, str]) -> list[str]:
        return [shlex.join(["mount", "--bind", str(node / source), targets[source]]) for source in targets]

    folders = " ".join((*_FOLDERS.values(), disks.MOUNT_POINT))
    groups = f"{cgroups.MOUNT}/*/{spec.namespace(zone)}"
    lines = [
        "#!/bin/sh",
        "set -eu",
        f'for group in {groups}; do echo 0 > "$group/cgroup.procs"; done',
        "mount --make-rshared /",
        "mount -t tmpfs -o mode=755 tmpfs /run",
        f"mkdir -p {folders}",
        *bind(_FOLDERS | _FILES),
        *disks.mount_lines(disks.disk_file(paths, zone), disks.MOUNT_POINT),
        *bind(sysctls),
        "mount --make-rshared /",
        f"hostname {zone}",
        shlex.join(["exec", SUPERVISORD, "-n", "-c", str(config / "supervisor.conf")]),
    ]
    return "\n".join(lines) + "\n"


def _write_files(spec: ClusterSpec, paths: ClusterPaths, zone: str) -> None:
    node = paths.node(zone)
    for folder in _FOLDERS:
        (node / folder).mkdir(parents=True, exist_ok=True)
    disks.ensure(paths, zone)
    for name, value in _PRIVATE_SYSCTLS.items():
        write_atomically(node / "sysctl" / name.replace("/", "."), value)
    write_atomically(node / "etc/hosts", f"127.0.0.1 localhost\n{spec.node(zone)} {zone}\n", 0o644)
    write_atomically(node / "etc/resolv.conf", f"nameserver {spec.node(zone)}\n", 0o644)
    write_atomically(node / "etc/hostname", f"{zone}\n", 0o644)
    write_atomically(node / "etc/cni/10-esq.conflist", cni_json(spec, zone), 0o644)
    registry = (
        f'server = "https://{spec.registry}"\n[host."https://{spec.registry}"]\nca = "{paths.pki}/ca.crt"\n'
        f'client = [["{paths.pki}/{zone}.crt", "{paths.pki}/{zone}.key"]]\n'
    )
    write_atomically(paths.config / zone / "registries" / spec.registry / "hosts.toml", registry)


def _write_configs(spec: ClusterSpec, paths: ClusterPaths, tools: Tools, zone: str) -> None:
    config = paths.config / zone
    write_atomically(config / "init.sh", init_script(spec, paths, zone), 0o700)
    write_atomically(config / "containerd.toml", containerd_toml(paths, zone))
    write_atomically(config / "kubelet.json", kubelet_json(spec, paths, zone))
    write_atomically(config / "proxy.json", proxy_config(spec, paths.pki / "proxy.kubeconfig", zone))
    write_atomically(config / "Corefile", corefile(spec, paths, zone))
    rendered = render(
        node_programs(spec, paths, tools, zone),
        socket=NODE_SOCKET,
        pidfile=Path("/run/supervisor.pid"),
        log=paths.log(f"{zone}/supervisor"),
    )
    write_atomically(config / "supervisor.conf", rendered)


def node_programs(spec: ClusterSpec, paths: ClusterPaths, tools: Tools, zone: str) -> list[Program]:
    """Return the processes inside a node.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.
        tools: the toolchain.
        zone: zone of the node.
    """
    config = paths.config / zone
    ctr = f"ctr --address {CONTAINERD_SOCKET} --namespace k8s.io"
    # The pause image must exist before the first pod; it is imported only if it is missing.
    kubelet_start = (
        f"until [ -S {CONTAINERD_SOCKET} ]; do sleep 0.05; done; "
        f"{ctr} images list -q | grep -qx {BUSYBOX_IMAGE} "
        f"|| {ctr} images import {shlex.quote(str(paths.config / 'busybox.tar'))}; "
        'exec "$@"'
    )
    kubelet_flags = [
        str(tools.path("kubelet")),
        f"--config={config / 'kubelet.json'}",
        f"--kubeconfig={paths.pki / zone}.kubeconfig",
        f"--hostname-override={zone}",
        f"--node-ip={spec.node(zone)}",
        f"--node-labels={ZONE_LABEL}={zone},{REGION_LABEL}={REGION},{DNS_HEALTH_PORT_LABEL}={DNS_HEALTH_PORT}",
        # Interval of container statistics: evictions collect their own, and load tests measure over minutes.
        "--housekeeping-interval=30s",
    ]
    # As on the control plane, these have priority over pods; containerd has not, since pods would inherit it.
    commands = {
        "containerd": ["containerd", "--config", str(config / "containerd.toml")],
        "dns": [*HIGH_PRIORITY_PREFIX, str(tools.path("coredns")), "-conf", str(config / "Corefile")],
        "kubelet": [*HIGH_PRIORITY_PREFIX, "sh", "-c", kubelet_start, "kubelet", *kubelet_flags],
        "proxy": [*HIGH_PRIORITY_PREFIX, str(tools.path("kube-proxy")), f"--config={config / 'proxy.json'}"],
    }
    # One thread each: these programs are mostly idle, and a second thread would mostly spin looking for work.
    environment = {"GOMAXPROCS": "1"}
    return [
        Program(name, argv, paths.log(f"{zone}/{name}"), environment=environment)
        for name, argv in commands.items()
    ]


def containerd_toml(paths: ClusterPaths, zone: str) -> str:
    """Return containerd's configuration (1.6, CRI v1).

    `restrict_oom_score_adj` is set because every sandbox fails without CAP_SYS_RESOURCE, which many
    containers and virtual machines lack.

    Args:
        paths: files of the cluster.
        zone: zone of the node.
    """
    disabled = ("aufs", "btrfs", "zfs", "devmapper")
    plugins = ", ".join(f'"io.containerd.snapshotter.v1.{name}"' for name in disabled)
    return f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [{plugins}, "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]

[grpc]
address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{BUSYBOX_IMAGE}"
disable_apparmor = true
restrict_oom_score_adj = true
max_concurrent_downloads = 3

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "/etc/cni/net.d"

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{paths.config / zone / "registries"}"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def cni_json(spec: ClusterSpec, zone: str) -> str:
    """Return the CNI configuration of a node: a bridge and a /24 with static routes, no masquerading.

    Args:
        spec: specification of the cluster.
        zone: zone of the node.
    """
    bridge = {
        "type": "bridge",
        "bridge": "pods",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": str(spec.pods(zone))}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "1.0.0", "name": "esq", "plugins": [bridge, ports]})


def kubelet_json(spec: ClusterSpec, paths: ClusterPaths, zone: str) -> str:
    """Return the kubelet's configuration; its times must match those of the controller manager.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.
        zone: zone of the node.
    """
    pki = paths.pki
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": str(spec.node(zone)),
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{pki}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{pki}/{kubelet_server(zone)}.crt",
            "tlsPrivateKeyFile": f"{pki}/{kubelet_server(zone)}.key",
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{spec.namespace(zone)}",
            "clusterDNS": [str(spec.node(zone))],
            "clusterDomain": "cluster.local",
            "failSwapOn": False,
            "maxPods": 60,
            "makeIPTablesUtilChains": False,
            "nodeStatusUpdateFrequency": "1s",
            "nodeStatusReportFrequency": "30s",
            "nodeLeaseDurationSeconds": 4,
            "syncFrequency": "10s",
            # Crashing containers restart within 5 s, not after 10 s to 5 minutes.
            "featureGates": {"KubeletCrashLoopBackOffMax": True},
            "crashLoopBackOff": {"maxContainerRestartPeriod": "5s"},
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1Gi",
                "imagefs.available": "1Gi",
                "nodefs.inodesFree": "1%",
            },
            "systemReserved": {"cpu": "200m", "memory": f"{_reserved_mib()}Mi"},
            "serializeImagePulls": False,
            "maxParallelImagePulls": 3,
        }
    )


def _reserved_mib() -> int:
    """Return the memory of the host that belongs to the other nodes (MiB)."""
    total = next(
        int(line.split()[1]) // 1024
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal:")
    )
    return total - total // _MEMORY_DIVISOR


def corefile(spec: ClusterSpec, paths: ClusterPaths, zone: str) -> str:
    """Return the configuration of a node's DNS: cluster names only, since nothing reaches the outside.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.
        zone: zone of the node.
    """
    return f"""\
.:53 {{
    bind {spec.node(zone)}
    errors
    health {spec.node(zone)}:{DNS_HEALTH_PORT}
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig "{paths.pki}/dns.kubeconfig" {spec.name}
        pods insecure
        ttl 5
    }}
    cache 5
    loadbalance
}}
"""
