"""The off-site store: S3 on the host, outside the zones, where backups survive the loss of all zones.

A single Garage without replicas. Its folder is next to the state folders of the clusters and is kept by
`cluster down --purge`. It serves S3 on a Unix socket; the edge forwards TLS on the bridge address to it. Its
key and secrets are created at its first start. It exists once Garage is built; a cluster without a platform
does not need it.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.credentials import OffsiteStoreAccess
from infra.errors import EsqError
from infra.files import write_atomically
from infra.names import DATA_NAMESPACE, OFFSITE_STORE, service_dns
from infra.zones.supervisord import Program

if TYPE_CHECKING:
    from pathlib import Path

    from infra.zones.control_plane import Tools
    from infra.zones.paths import ClusterPaths
    from infra.zones.spec import ClusterSpec

PORT = 3900
"""HTTPS, on the bridge address."""
RPC_PORT = 3901
"""Garage requires one even without peers; authenticated and encrypted."""
BUCKET = "backups"
REGION = "esq"
HOST = service_dns(OFFSITE_STORE, DATA_NAMESPACE)
"""Name that pods use, and that its certificate is valid for."""


@dataclass(frozen=True)
class OffsiteStore:
    """The store of one cluster.

    Attributes:
        folder: its data, keys and secrets.
        program: path of Garage.
    """

    folder: Path
    program: Path

    def socket(self, paths: ClusterPaths) -> Path:
        """Return the path of the Unix socket that serves S3."""
        return paths.run / f"{OFFSITE_STORE}.sock"

    def configure(self, spec: ClusterSpec, paths: ClusterPaths) -> Program:
        """Write the files of the store.

        Args:
            spec: specification of the cluster.
            paths: files of the cluster.

        Returns:
            The process of the store.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        secret = self.folder / "rpc_secret"
        if not secret.exists():
            write_atomically(secret, secrets.token_hex(32))
        file = write_atomically(paths.config / f"{OFFSITE_STORE}.toml", render(self, spec, paths))
        key = self._key()
        return Program(
            OFFSITE_STORE,
            [str(self.program), "-c", str(file), "server", "--single-node", "--default-bucket"],
            paths.log(OFFSITE_STORE),
            environment={
                "GARAGE_DEFAULT_BUCKET": BUCKET,
                "GARAGE_DEFAULT_ACCESS_KEY": key["id"],
                "GARAGE_DEFAULT_SECRET_KEY": key["secret"],
                "RUST_LOG": "garage=info",
            },
            watched_files=[file],
        )

    def access(self, spec: ClusterSpec, paths: ClusterPaths) -> OffsiteStoreAccess:
        """Return the address and credentials for pods.

        Args:
            spec: specification of the cluster.
            paths: files of the cluster.
        """
        key = self._key()
        return OffsiteStoreAccess(
            url=f"https://{HOST}:{PORT}",
            region=REGION,
            bucket=BUCKET,
            key_id=key["id"],
            key_secret=key["secret"],
            ca_certificate=(paths.pki / "ca.crt").read_text(),
            ip_address=str(spec.gateway),
        )

    def _key(self) -> dict[str, str]:
        path = self.folder / "key.json"
        if not path.exists():
            write_atomically(
                path, json.dumps({"id": f"GK{secrets.token_hex(12)}", "secret": secrets.token_hex(32)})
            )
        credentials: dict[str, str] = json.loads(path.read_text())
        return credentials


def open_store(folder: Path | None, tools: Tools) -> OffsiteStore | None:
    """Return the store in a folder; None without a folder, or while Garage is not built.

    Args:
        folder: its data, keys and secrets.
        tools: the toolchain.
    """
    if folder is None:
        return None
    try:
        return OffsiteStore(folder, tools.path("garage"))
    except EsqError:
        return None


def render(store: OffsiteStore, spec: ClusterSpec, paths: ClusterPaths) -> str:
    """Return `garage.toml`.

    Args:
        store: the store.
        spec: specification of the cluster.
        paths: files of the cluster.
    """
    return f"""\
metadata_dir = "{store.folder / "meta"}"
data_dir = "{store.folder / "data"}"
db_engine = "lmdb"
metadata_fsync = true
data_fsync = true
replication_factor = 1
rpc_bind_addr = "{spec.gateway}:{RPC_PORT}"
rpc_public_addr = "{spec.gateway}:{RPC_PORT}"
rpc_secret_file = "{store.folder / "rpc_secret"}"

[s3_api]
api_bind_addr = "{store.socket(paths)}"
s3_region = "{REGION}"
"""


def frontend(store: OffsiteStore, spec: ClusterSpec, paths: ClusterPaths) -> str:
    """Return the section of the edge's configuration that terminates TLS in front of the socket.

    Args:
        store: the store.
        spec: specification of the cluster.
        paths: files of the cluster.
    """
    return f"""
listen {OFFSITE_STORE}
    mode tcp
    bind {spec.gateway}:{PORT} ssl crt "{paths.pki / f"{OFFSITE_STORE}.pem"}"
    server {OFFSITE_STORE} unix@{store.socket(paths)}
"""
