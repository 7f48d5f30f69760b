"""The control plane's processes and their flags: etcd, API server, controllers, scheduler, proxy, volumes.

The times make a lost zone detectable within seconds: nodes renew their lease about once a second and are
marked as lost after `NODE_MONITOR_GRACE_PERIOD`; pods are evicted `DEFAULT_TOLERATION_SECONDS` later.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from infra.files import write_atomically
from infra.subprocesses import HIGH_PRIORITY_PREFIX
from infra.zones import disks, wait_for_apiserver
from infra.zones.pki import SERVICE_ACCOUNTS
from infra.zones.supervisord import Program

if TYPE_CHECKING:
    from infra.zones.paths import ClusterPaths
    from infra.zones.spec import ClusterSpec

NODE_MONITOR_GRACE_PERIOD = "5s"
"""Leases last 4 s; a lease that is overdue by one second marks the node as lost."""
DEFAULT_TOLERATION_SECONDS = "5"
"""Seconds that a pod stays bound to a lost node before it is replaced."""
STORAGE_NAMESPACE = "esq-storage"
VOLUME_SCRIPTS_PATH = f"/api/v1/namespaces/{STORAGE_NAMESPACE}/configmaps/volumes"
"""ConfigMap that the volume provisioner needs at its start; readable once its RBAC is applied."""
PROVISIONER = "esq.local/volumes"
BUSYBOX_IMAGE = "localhost/esq/busybox:1"
"""Image that contains only busybox: the pause container of every pod, and the helper pod of volumes."""

TLS_MIN_VERSION = "VersionTLS13"


class Tools(Protocol):
    """Paths of programs."""

    def path(self, name: str) -> Path:
        """Return the path of program `name`."""


def programs(spec: ClusterSpec, paths: ClusterPaths, tools: Tools) -> list[Program]:
    """Return the control plane's processes in start order.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.
        tools: the toolchain.
    """
    in_namespace = ["nsenter", f"--net=/run/netns/{spec.namespace('control')}"]
    commands = {
        "etcd": [*_on_own_disk(paths), str(tools.path("etcd")), *etcd_flags(paths)],
        "apiserver": [str(tools.path("kube-apiserver")), *apiserver_flags(spec, paths)],
        # Controllers exit when they start before an empty etcd is initialised.
        "controller-manager": [
            *_wait_then_exec(wait_for_apiserver.READY_PATH, "controller-manager", spec, paths),
            str(tools.path("kube-controller-manager")),
            *controller_manager_flags(spec, paths),
        ],
        "scheduler": [
            *_wait_then_exec(wait_for_apiserver.READY_PATH, "scheduler", spec, paths),
            str(tools.path("kube-scheduler")),
            *scheduler_flags(paths),
        ],
        "proxy": [
            *_wait_then_exec(wait_for_apiserver.READY_PATH, "proxy", spec, paths),
            str(tools.path("kube-proxy")),
            *proxy_flags(spec, paths),
        ],
        "volumes": [
            *_wait_then_exec(VOLUME_SCRIPTS_PATH, "volumes", spec, paths),
            str(tools.path("local-path-provisioner")),
            *provisioner_flags(paths),
        ],
    }
    # When CPU is scarce, the processes that node liveness depends on run before the pods, as they would on
    # separate machines. Otherwise nodes are marked as lost, which adds load to the others.
    return [
        Program(
            name,
            [*HIGH_PRIORITY_PREFIX, *in_namespace, *argv],
            paths.log(name),
            priority=10 + order,
            # On SIGTERM the API server waits 5 s for watchers that are stopped at the same time; it has no
            # state.
            signal="TERM" if name == "etcd" else "KILL",
            environment={"HOME": str(paths.run)},
            watched_files=_watched_files(argv, paths),
        )
        for order, (name, argv) in enumerate(commands.items())
    ]


def _watched_files(argv: list[str], paths: ClusterPaths) -> list[Path]:
    """Return the configuration files and certificates that `argv` names."""
    argument_paths = [Path(argument.rpartition("=")[2]) for argument in argv]
    cluster_files = [
        path for path in argument_paths if path.is_relative_to(paths.pki) or path.is_relative_to(paths.config)
    ]
    return [*cluster_files, paths.pki / "proxy.kubeconfig"] if "proxy" in argv else cluster_files


def _wait_then_exec(path: str, identity: str, spec: ClusterSpec, paths: ClusterPaths) -> list[str]:
    """Return the prefix of a command that waits until the API server serves `path` to `identity`."""
    return [
        sys.executable,
        "-I",
        "-S",
        wait_for_apiserver.__file__,
        str(spec.control),
        path,
        str(paths.pki),
        identity,
    ]


def _on_own_disk(paths: ClusterPaths) -> list[str]:
    """Return the prefix of a command that first mounts the control plane's disk, for itself only."""
    disks.ensure(paths, disks.CONTROL_PLANE)
    mount = disks.mount_lines(disks.disk_file(paths, disks.CONTROL_PLANE), str(paths.etcd))
    script = "\n".join(["#!/bin/sh", "set -eu", *mount, 'exec "$@"', ""])
    start = write_atomically(paths.config / "etcd.sh", script, 0o700)
    return ["unshare", "--mount", "--propagation", "private", str(start)]


def etcd_flags(paths: ClusterPaths) -> list[str]:
    """Return etcd's flags: writes are synced to disk, since data must survive a power loss."""
    url, peers, pki = "https://127.0.0.1:2379", "https://127.0.0.1:2380", paths.pki
    return [
        f"--data-dir={paths.etcd / 'data'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        *(f"--{side}cert-file={pki}/etcd.crt" for side in ("", "peer-")),
        *(f"--{side}key-file={pki}/etcd.key" for side in ("", "peer-")),
        *(f"--{side}trusted-ca-file={pki}/ca.crt" for side in ("", "peer-")),
        *(f"--{side}client-cert-auth" for side in ("", "peer-")),
        # The gateway would need a client certificate of its own; nobody uses it.
        "--enable-grpc-gateway=false",
        "--auto-compaction-retention=1h",
        "--log-level=warn",
    ]


def apiserver_flags(spec: ClusterSpec, paths: ClusterPaths) -> list[str]:
    """Return the API server's flags.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.
    """
    pki = paths.pki
    return [
        f"--advertise-address={spec.control}",
        f"--bind-address={spec.control}",
        "--secure-port=6443",
        f"--service-cluster-ip-range={spec.service_range}",
        "--etcd-servers=https://127.0.0.1:2379",
        f"--etcd-cafile={pki}/ca.crt",
        f"--etcd-certfile={pki}/etcd-client.crt",
        f"--etcd-keyfile={pki}/etcd-client.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/kubelet-client.crt",
        f"--kubelet-client-key={pki}/kubelet-client.key",
        # By address: node names do not resolve in the namespace of the control plane.
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={pki}/{SERVICE_ACCOUNTS}.crt",
        f"--service-account-signing-key-file={pki}/{SERVICE_ACCOUNTS}.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--encryption-provider-config={pki}/encryption.json",
        "--anonymous-auth=false",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--default-not-ready-toleration-seconds={DEFAULT_TOLERATION_SECONDS}",
        f"--default-unreachable-toleration-seconds={DEFAULT_TOLERATION_SECONDS}",
        f"--tls-min-version={TLS_MIN_VERSION}",
        "--allow-privileged=true",
    ]


def controller_manager_flags(spec: ClusterSpec, paths: ClusterPaths) -> list[str]:
    """Return the controller manager's flags.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.
    """
    pki = paths.pki
    kubeconfig = f"{pki}/controller-manager.kubeconfig"
    return [
        *(
            f"--{flag}={kubeconfig}"
            for flag in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
        ),
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--root-ca-file={pki}/ca.crt",
        f"--service-account-private-key-file={pki}/{SERVICE_ACCOUNTS}.key",
        "--controllers=*,-nodeipam,-route,-service-lb-controller",
        f"--cluster-cidr={spec.pod_range}",
        f"--service-cluster-ip-range={spec.service_range}",
        "--node-monitor-period=1s",
        f"--node-monitor-grace-period={NODE_MONITOR_GRACE_PERIOD}",
        # Never 1: after all nodes were lost, the rate limiter that blocks all evictions also reports 1, is
        # not replaced again, and evictions stop until a restart.
        "--node-eviction-rate=2",
    ]


def scheduler_flags(paths: ClusterPaths) -> list[str]:
    """Return the scheduler's flags."""
    kubeconfig = f"{paths.pki}/scheduler.kubeconfig"
    return [
        *(
            f"--{flag}={kubeconfig}"
            for flag in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
        ),
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    ]


def proxy_config(spec: ClusterSpec, kubeconfig: Path, hostname: str) -> str:
    """Return kube-proxy's configuration.

    Args:
        spec: specification of the cluster.
        kubeconfig: its kubeconfig.
        hostname: node name.
    """
    return json.dumps(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "hostnameOverride": hostname,
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "detectLocalMode": "ClusterCIDR",
            "clusterCIDR": str(spec.pod_range),
            # 0 leaves the limits of the host unchanged.
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
            # Changes are applied immediately; a full sync only repairs foreign changes and runs four
            # programs.
            "nftables": {"minSyncPeriod": "200ms", "syncPeriod": "2m"},
        }
    )


def proxy_flags(spec: ClusterSpec, paths: ClusterPaths) -> list[str]:
    """Return the flags of the proxy through which the host reaches ClusterIPs.

    It uses the node name of the first zone, because kube-proxy waits long for a node of its own name. No pods
    run here, so the name has no other effect.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.
    """
    path = paths.config / "proxy-control.json"
    write_atomically(path, proxy_config(spec, paths.pki / "proxy.kubeconfig", spec.zones[0]))
    return [f"--config={path}"]


def provisioner_flags(paths: ClusterPaths) -> list[str]:
    """Return the flags of the volume provisioner."""
    folders = {"nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [disks.MOUNT_POINT]}]}
    config = write_atomically(paths.config / "volumes.json", json.dumps(folders))
    return [
        "start",
        f"--config={config}",
        f"--kubeconfig={paths.pki}/volumes.kubeconfig",
        f"--namespace={STORAGE_NAMESPACE}",
        "--service-account-name=default",
        f"--provisioner-name={PROVISIONER}",
        f"--helper-image={BUSYBOX_IMAGE}",
        "--configmap-name=volumes",
        # Each volume needs a helper pod for some seconds; the default is 4.
        "--worker-threads=12",
    ]
