"""The control plane's processes and their flags: etcd, API server, controllers, scheduler, proxy, volumes.

Times are chosen for the promise that a lost zone is noticed in seconds: nodes renew their lease every
second or so and are given up after
`NODE_GRACE`; pods leave a lost node `TOLERATION` later.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from infra.zones.layout import write
from infra.zones.pki import SERVICE_ACCOUNTS
from infra.zones.supervision import Program

if TYPE_CHECKING:
    from pathlib import Path

    from infra.zones.layout import Layout
    from infra.zones.spec import ClusterSpec

NODE_GRACE = "5s"
"""Leases last 4 s; one that is a second overdue means the node is gone."""
TOLERATION = "5"
"""Seconds a pod stays bound to a lost node before its replacement is made."""
STORAGE_NAMESPACE = "esq-storage"
PROVISIONER = "esq.local/volumes"
TOOLBOX = "localhost/esq/toolbox:1"
"""Image with busybox and nothing else: the sandbox of every pod, and the helper that makes volume folders."""

CIPHERS = "VersionTLS13"


class Tools(Protocol):
    """Where programs are."""

    def path(self, name: str) -> Path:
        """Return the path of program `name`."""


def programs(spec: ClusterSpec, layout: Layout, tools: Tools) -> list[Program]:
    """Return the control plane's processes, in the order in which they start."""
    inside = ["nsenter", f"--net=/run/netns/{spec.namespace('control')}"]
    commands = {
        "etcd": [str(tools.path("etcd")), *etcd(layout)],
        "apiserver": [str(tools.path("kube-apiserver")), *apiserver(spec, layout)],
        "controller-manager": _after_api(
            layout, tools, "kube-controller-manager", controller_manager(spec, layout)
        ),
        "scheduler": _after_api(layout, tools, "kube-scheduler", scheduler(layout)),
        "proxy": _after_api(layout, tools, "kube-proxy", proxy(spec, layout)),
        "volumes": _after_api(layout, tools, "local-path-provisioner", volumes(layout)),
    }
    return [
        Program(
            name,
            [*inside, *argv],
            layout.log(name),
            priority=10 + order,
            # The API server takes 5 s to leave on SIGTERM, waiting for watchers that are being stopped as
            # well; it keeps nothing.
            signal="TERM" if name == "etcd" else "KILL",
            environment={"HOME": str(layout.run)},
        )
        for order, (name, argv) in enumerate(commands.items())
    ]


def _after_api(layout: Layout, tools: Tools, program: str, flags: list[str]) -> list[str]:
    """Start `program` once the API server is ready: controllers that meet a fresh etcd give up and exit."""
    ready = f"{tools.path('kubectl')} --kubeconfig={layout.kubeconfig} get --raw=/readyz --request-timeout=2s"
    wait = f'until {ready} >/dev/null 2>&1; do sleep 0.1; done; exec "$@"'
    return ["sh", "-c", wait, program, str(tools.path(program)), *flags]


def etcd(layout: Layout) -> list[str]:
    """Return etcd's flags: writes are synced to disk, as data must survive a power cut."""
    url, pki = "https://127.0.0.1:2379", layout.pki
    return [
        f"--data-dir={layout.etcd}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        f"--cert-file={pki}/etcd.crt",
        f"--key-file={pki}/etcd.key",
        f"--trusted-ca-file={pki}/ca.crt",
        "--client-cert-auth",
        "--auto-compaction-retention=1h",
        "--log-level=warn",
    ]


def apiserver(spec: ClusterSpec, layout: Layout) -> list[str]:
    """Return the API server's flags."""
    pki = layout.pki
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
        # A node is reached by its address: the host of the control plane knows no names of nodes.
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={pki}/{SERVICE_ACCOUNTS}.crt",
        f"--service-account-signing-key-file={pki}/{SERVICE_ACCOUNTS}.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--encryption-provider-config={pki}/encryption.json",
        "--anonymous-auth=false",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--default-not-ready-toleration-seconds={TOLERATION}",
        f"--default-unreachable-toleration-seconds={TOLERATION}",
        f"--tls-min-version={CIPHERS}",
        "--allow-privileged=true",
    ]


def controller_manager(spec: ClusterSpec, layout: Layout) -> list[str]:
    """Return the controllers' flags."""
    pki = layout.pki
    kubeconfig = f"{pki}/controller-manager.kubeconfig"
    return [
        *(
            f"--{each}={kubeconfig}"
            for each in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
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
        f"--node-monitor-grace-period={NODE_GRACE}",
        # Never 1: once all nodes were lost the limiter's stand-in for "never" also reports 1, is not
        # swapped back, and evictions stop for good.
        "--node-eviction-rate=2",
    ]


def scheduler(layout: Layout) -> list[str]:
    """Return the scheduler's flags."""
    kubeconfig = f"{layout.pki}/scheduler.kubeconfig"
    return [
        *(
            f"--{each}={kubeconfig}"
            for each in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
        ),
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    ]


def proxy_config(spec: ClusterSpec, kubeconfig: Path, hostname: str) -> str:
    """Return a configuration of kube-proxy."""
    return json.dumps(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "hostnameOverride": hostname,
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "detectLocalMode": "ClusterCIDR",
            "clusterCIDR": str(spec.pod_range),
            # The machine's limits are the host's business.
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
            "nftables": {"minSyncPeriod": "200ms", "syncPeriod": "30s"},
        }
    )


def proxy(spec: ClusterSpec, layout: Layout) -> list[str]:
    """Return the flags of the proxy through which the host reaches ClusterIPs.

    It bears the first zone's name because a proxy waits long for a node of its own name; with no pods here
    it matters nowhere else.
    """
    path = layout.config / "proxy-control.json"
    write(path, proxy_config(spec, layout.pki / "proxy.kubeconfig", spec.zones[0]))
    return [f"--config={path}"]


def volumes(layout: Layout) -> list[str]:
    """Return the flags of the volume provisioner."""
    folders = {
        "nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": ["/var/lib/esq/volumes"]}]
    }
    config = write(layout.config / "volumes.json", json.dumps(folders))
    return [
        "start",
        f"--config={config}",
        f"--kubeconfig={layout.pki}/volumes.kubeconfig",
        f"--namespace={STORAGE_NAMESPACE}",
        "--service-account-name=default",
        f"--provisioner-name={PROVISIONER}",
        f"--helper-image={TOOLBOX}",
        "--configmap-name=volumes",
    ]
