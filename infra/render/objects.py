"""`garage.toml`: three nodes that each hold a copy of every object, in a zone of their own.

The nodes' keys are made beforehand, so each node is told the names of all three at the start and none needs
to be introduced to the others. They speak among themselves encrypted and authenticated. S3 itself is served
without TLS: Garage has none, and a proxy in front would be one more thing to lose. It is reached inside the
cluster only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

S3_PORT = 3900
RPC_PORT = 3901
ADMIN_PORT = 3903
REGION = "esq"
"""S3 region; signatures cover it, so clients must say the same."""
REPLICATION = 3


def garage(peers: Sequence[str]) -> str:
    """Return `garage.toml`; secrets and the pod's own address come from its environment.

    Args:
        peers: `ID@host:port` of each node.
    """
    listed = ",\n".join(f'    "{peer}"' for peer in peers)
    return f"""\
metadata_dir = "/var/lib/garage/meta"
data_dir = "/var/lib/garage/data"
db_engine = "lmdb"
# What is acknowledged is on the disks of two zones, not only in their memory.
metadata_fsync = true
data_fsync = true
replication_factor = {REPLICATION}
consistency_mode = "consistent"
compression_level = 1
# Nodes that lost each other say so within seconds.
rpc_ping_timeout_msec = 5000
rpc_timeout_msec = 10000
rpc_bind_addr = "0.0.0.0:{RPC_PORT}"
# The kubelet gives secrets to the pod's group; Garage would want them readable by one user only.
allow_world_readable_secrets = true
rpc_secret_file = "/etc/esq/secrets/rpc_secret"
bootstrap_peers = [
{listed}
]

[s3_api]
api_bind_addr = "0.0.0.0:{S3_PORT}"
s3_region = "{REGION}"

[admin]
api_bind_addr = "0.0.0.0:{ADMIN_PORT}"
admin_token_file = "/etc/esq/secrets/admin_token"
"""


def identity() -> str:
    """Return the script that runs in a pod before Garage: it puts the node's key where Garage looks."""
    return """\
#!/bin/sh
set -eu
umask 077
meta=/var/lib/garage/meta
mkdir -p $meta /var/lib/garage/data
cat "/etc/esq/secrets/node_key_${HOSTNAME##*-}" > $meta/node_key.new
# The second half of the key is its public part.
tail -c 32 $meta/node_key.new > $meta/node_key.pub
mv $meta/node_key.new $meta/node_key
"""
