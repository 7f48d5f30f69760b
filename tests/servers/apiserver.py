"""A Kubernetes API server on loopback: etcd, kube-apiserver and the controllers; without nodes, no pod runs."""

from __future__ import annotations

import ssl
import uuid
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import httpx
import platformdirs
import yaml
from kubernetes import client

from infra.certificate_authority import Usage, create_ca, issue_certificate
from infra.kubernetes import api_client, get_or_none
from infra.progress import RecordingProgress
from infra.zones.toolchain import Toolchain
from tests.servers.process import Server, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

READY_TIMEOUT_SECONDS = 60.0


class ApiServer:
    """An API server; `kubeconfig` is that of an administrator.

    Args:
        folder: for data, certificates and logs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port, self._etcd_port = free_port(), free_port()
        self._authority = create_ca()
        self._servers = [
            Server(name, folder / f"{name}.log") for name in ("etcd", "apiserver", "controllers")
        ]
        self._tools = Toolchain(platformdirs.user_cache_path("esq") / "toolchain", RecordingProgress())
        self.kubeconfig = self.kubeconfig_of("admin", "system:masters")

    @property
    def url(self) -> str:
        """URL of the API server."""
        return f"https://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start all processes and wait until objects can be created."""
        self._certificates()
        etcd, apiserver, controllers = self._servers
        etcd.launch(self._etcd())
        apiserver.launch(self._apiserver())
        wait_until("the API server", self._ready, READY_TIMEOUT_SECONDS)
        controllers.launch(self._controllers())
        wait_until("controllers", self._has_service_account, READY_TIMEOUT_SECONDS)

    def kill_apiserver(self) -> None:
        """Kill the API server; etcd keeps its objects."""
        self._servers[1].kill()

    def restart_apiserver(self) -> None:
        """Start the API server again and wait until it is ready."""
        self._servers[1].launch(self._apiserver())
        wait_until("the API server", self._ready, READY_TIMEOUT_SECONDS)

    def frozen(self) -> AbstractContextManager[None]:
        """Freeze the API server while a block runs: it accepts connections and answers none."""
        return self._servers[1].frozen()

    def stop(self) -> None:
        """Stop all processes."""
        for server in reversed(self._servers):
            server.kill()

    def kubeconfig_of(self, user: str, group: str = "") -> Path:
        """Write a kubeconfig for a user and return its path.

        Args:
            user: common name of the client certificate.
            group: organization of the client certificate; empty for none.
        """
        pair = issue_certificate(self._authority, user, (), Usage.CLIENT, organization=group)
        (self._folder / f"{user}.crt").write_text(pair.certificate)
        (self._folder / f"{user}.key").write_text(pair.key)
        (self._folder / "ca.crt").write_text(self._authority.certificate)
        cluster = {"server": self.url, "certificate-authority": str(self._folder / "ca.crt")}
        credentials = {
            "client-certificate": f"{self._folder}/{user}.crt",
            "client-key": f"{self._folder}/{user}.key",
        }
        path = self._folder / f"{user}.kubeconfig"
        document = {
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user, "user": credentials}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        }
        path.write_text(yaml.safe_dump(document))
        return path

    def _ready(self) -> bool:
        context = ssl.create_default_context(cafile=str(self._folder / "ca.crt"))
        context.load_cert_chain(self._folder / "admin.crt", self._folder / "admin.key")
        try:
            return httpx.get(f"{self.url}/readyz", verify=context, timeout=2).is_success
        except httpx.HTTPError:
            return False

    def _has_service_account(self) -> bool:
        with closing(api_client(self.kubeconfig)) as api:
            account = client.CoreV1Api(api).read_namespaced_service_account
            return get_or_none(lambda: account("default", "default")) is not None

    def _certificates(self) -> None:
        names = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
        pair = issue_certificate(self._authority, "apiserver", names, ip_addresses=("10.255.0.1",))
        (self._folder / "server.crt").write_text(pair.certificate)
        (self._folder / "server.key").write_text(pair.key)

    def _etcd(self) -> list[str]:
        url = f"http://127.0.0.1:{self._etcd_port}"
        return [
            str(self._tools.path("etcd")),
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls=http://127.0.0.1:{free_port()}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def _apiserver(self) -> list[str]:
        folder = self._folder
        return [
            str(self._tools.path("kube-apiserver")),
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self._port}",
            "--service-cluster-ip-range=10.255.0.0/24",
            f"--client-ca-file={folder}/ca.crt",
            f"--tls-cert-file={folder}/server.crt",
            f"--tls-private-key-file={folder}/server.key",
            f"--service-account-key-file={folder}/server.crt",
            f"--service-account-signing-key-file={folder}/server.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--anonymous-auth=false",
            "--authorization-mode=RBAC",
            "--endpoint-reconciler-type=none",
        ]

    def _controllers(self) -> list[str]:
        return [
            str(self._tools.path("kube-controller-manager")),
            f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={free_port()}",
            f"--service-account-private-key-file={self._folder}/server.key",
            f"--root-ca-file={self._folder}/ca.crt",
        ]


@contextmanager
def running_api_server(folder: Path) -> Iterator[ApiServer]:
    """Start an API server; stop it at the end, also when its start fails.

    Args:
        folder: see `ApiServer`.
    """
    server = ApiServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def create_namespace(api: client.ApiClient) -> str:
    """Create a namespace for one test and return its name; pods can be created in it."""
    core, name = client.CoreV1Api(api), f"t-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name}})
    accounts = core.list_namespaced_service_account
    wait_until("the service account", lambda: bool(accounts(name).items), READY_TIMEOUT_SECONDS)
    return name
