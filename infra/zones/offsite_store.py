"""The vault: an S3 store on the host, outside of the zones, where backups survive the loss of all of them.

One Garage without copies: its folder stands beside the clusters' states and outlives `cluster down --purge`.
It serves S3 on a socket, and the edge carries that to the bridge's address with TLS. Its key and secrets are
made at its first start. It is there once Garage has been built; a cluster alone does without.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.credentials import OffsiteStoreAccess
from infra.errors import EsqError
from infra.names import DATA_NAMESPACE, OFFSITE_STORE, service_dns
from infra.zones.paths import write_atomically
from infra.zones.supervisord import Program

if TYPE_CHECKING:
    from pathlib import Path

    from infra.zones.control_plane import Tools
    from infra.zones.paths import ClusterPaths
    from infra.zones.spec import ClusterSpec

PORT = 3900
"""HTTPS, at the bridge's address."""
RPC_PORT = 3901
"""Garage wants one, though it has no peers; authenticated and encrypted."""
BUCKET = "backups"
REGION = "esq"
HOST = service_dns(OFFSITE_STORE, DATA_NAMESPACE)
"""Name that pods reach it by, and that its certificate holds for."""


@dataclass(frozen=True)
class OffsiteStore:
    """The store of one cluster.

    Attributes:
        folder: its data, keys and secrets.
        program: Garage.
    """

    folder: Path
    program: Path

    def socket(self, paths: ClusterPaths) -> Path:
        """Return where it serves S3."""
        return paths.run / f"{OFFSITE_STORE}.sock"

    def configure(self, spec: ClusterSpec, paths: ClusterPaths) -> Program:
        """Write its files; return its process."""
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
        """Return what is needed to use it from a pod."""
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
    """Return the vault in `folder`; None where there is to be none, or Garage is not built yet."""
    if folder is None:
        return None
    try:
        return OffsiteStore(folder, tools.path("garage"))
    except EsqError:
        return None


def render(store: OffsiteStore, spec: ClusterSpec, paths: ClusterPaths) -> str:
    """Return `garage.toml`."""
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
    """Return the edge's part: TLS in front of the socket, bytes passed on as they are."""
    return f"""
listen {OFFSITE_STORE}
    mode tcp
    bind {spec.gateway}:{PORT} ssl crt {paths.pki / f"{OFFSITE_STORE}.pem"}
    server {OFFSITE_STORE} unix@{store.socket(paths)}
"""
