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
from infra.zones.layout import write
from infra.zones.supervision import Program

if TYPE_CHECKING:
    from pathlib import Path

    from infra.zones.control_plane import Tools
    from infra.zones.layout import Layout
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
class Vault:
    """The store of one cluster.

    Attributes:
        folder: its data, keys and secrets.
        program: Garage.
    """

    folder: Path
    program: Path

    def socket(self, layout: Layout) -> Path:
        """Return where it serves S3."""
        return layout.run / f"{OFFSITE_STORE}.sock"

    def configured(self, spec: ClusterSpec, layout: Layout) -> Program:
        """Write its files; return its process."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        secret = self.folder / "rpc_secret"
        if not secret.exists():
            write(secret, secrets.token_hex(32))
        file = write(layout.config / f"{OFFSITE_STORE}.toml", render(self, spec, layout))
        key = self._key()
        return Program(
            OFFSITE_STORE,
            [str(self.program), "-c", str(file), "server", "--single-node", "--default-bucket"],
            layout.log(OFFSITE_STORE),
            environment={
                "GARAGE_DEFAULT_BUCKET": BUCKET,
                "GARAGE_DEFAULT_ACCESS_KEY": key["id"],
                "GARAGE_DEFAULT_SECRET_KEY": key["secret"],
                "RUST_LOG": "garage=info",
            },
            reads=[file],
        )

    def access(self, spec: ClusterSpec, layout: Layout) -> OffsiteStoreAccess:
        """Return what is needed to use it from a pod."""
        key = self._key()
        return OffsiteStoreAccess(
            url=f"https://{HOST}:{PORT}",
            region=REGION,
            bucket=BUCKET,
            key_id=key["id"],
            key_secret=key["secret"],
            ca_certificate=(layout.pki / "ca.crt").read_text(),
            ip_address=str(spec.gateway),
        )

    def _key(self) -> dict[str, str]:
        path = self.folder / "key.json"
        if not path.exists():
            write(path, json.dumps({"id": f"GK{secrets.token_hex(12)}", "secret": secrets.token_hex(32)}))
        found: dict[str, str] = json.loads(path.read_text())
        return found


def find(folder: Path | None, tools: Tools) -> Vault | None:
    """Return the vault in `folder`; None where there is to be none, or Garage is not built yet."""
    if folder is None:
        return None
    try:
        return Vault(folder, tools.path("garage"))
    except EsqError:
        return None


def render(vault: Vault, spec: ClusterSpec, layout: Layout) -> str:
    """Return `garage.toml`."""
    return f"""\
metadata_dir = "{vault.folder / "meta"}"
data_dir = "{vault.folder / "data"}"
db_engine = "lmdb"
metadata_fsync = true
data_fsync = true
replication_factor = 1
rpc_bind_addr = "{spec.gateway}:{RPC_PORT}"
rpc_public_addr = "{spec.gateway}:{RPC_PORT}"
rpc_secret_file = "{vault.folder / "rpc_secret"}"

[s3_api]
api_bind_addr = "{vault.socket(layout)}"
s3_region = "{REGION}"
"""


def frontend(vault: Vault, spec: ClusterSpec, layout: Layout) -> str:
    """Return the edge's part: TLS in front of the socket, bytes passed on as they are."""
    return f"""
listen {OFFSITE_STORE}
    mode tcp
    bind {spec.gateway}:{PORT} ssl crt {layout.pki / f"{OFFSITE_STORE}.pem"}
    server {OFFSITE_STORE} unix@{vault.socket(layout)}
"""
