"""`garage.toml`: three nodes that each hold a copy of every object, in a zone of their own.

The nodes' keys are made beforehand, so each node is told the names of all three at the start and none needs
to be introduced to the others. They speak among themselves encrypted and authenticated. Garage has no TLS for
S3, so it serves that on loopback only, and HAProxy in the same pod carries it to the outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

S3_PORT = 3900
"""HTTPS."""
PLAIN_PORT = 3910
"""S3 without TLS, on loopback."""
RPC_PORT = 3901
ADMIN_PORT = 3903
PROXY_PORT = 3904
"""The proxy tells here whether it has a Garage behind it."""
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
# A node that died is asked for another minute, until it has missed four pings: who asks has to get over it
# and ask the third within the patience of its own client.
rpc_timeout_msec = 1000
rpc_bind_addr = "0.0.0.0:{RPC_PORT}"
# The kubelet gives secrets to the pod's group; Garage would want them readable by one user only.
allow_world_readable_secrets = true
rpc_secret_file = "/etc/esq/secrets/rpc_secret"
bootstrap_peers = [
{listed}
]

[s3_api]
api_bind_addr = "127.0.0.1:{PLAIN_PORT}"
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


def proxy() -> str:
    """Return `haproxy.cfg` of the TLS in front of a pod's Garage.

    Bytes are passed on as they are, so that signatures and uploads of any length stay what they were.
    """
    return f"""\
global
    maxconn 512
    nbthread 1
    log stderr local0 notice
    ssl-default-bind-options ssl-min-ver TLSv1.2

defaults
    mode tcp
    log global
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout check 2s

frontend s3
    bind :{S3_PORT} ssl crt /etc/esq/secrets/server.pem
    default_backend garage

frontend proxy
    mode http
    bind :{PROXY_PORT}
    monitor-uri /ready
    monitor fail if {{ nbsrv(garage) lt 1 }}

backend garage
    server garage 127.0.0.1:{PLAIN_PORT} check inter 2s fall 2 rise 1
"""
