"""`garage.toml`: three nodes in a zone each, with a copy of every object each.

The nodes' keys are created beforehand, so each node knows the ids of all three at start and no introduction
is needed. Their connections are encrypted and authenticated. Garage does not support TLS for S3 and its admin
API, so it serves both on loopback, and HAProxy in the same pod serves them with TLS; the admin API requires a
client certificate besides the token.

The secret of the nodes' connections is not rotated: Garage knows one only, so a restarted node with another
one would not be ready, and the rolling update would wait for it forever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.names import OBJECT_STORE_ADMIN

if TYPE_CHECKING:
    from collections.abc import Sequence

S3_PORT = 3900
"""HTTPS."""
LOOPBACK_S3_PORT = 3910
"""S3 without TLS, on loopback."""
RPC_PORT = 3901
ADMIN_PORT = 3903
"""HTTPS with client certificates."""
LOOPBACK_ADMIN_PORT = 3913
"""The admin API without TLS, on loopback."""
PROBE_PORT = 3904
"""HTTPS: `PROXY_PROBE_PATH`, and Garage's own `GARAGE_PROBE_PATH`."""
PROXY_PROBE_PATH = "/ready"
"""Whether the proxy reaches its Garage."""
GARAGE_PROBE_PATH = "/health"
"""Whether enough nodes are up to read and write every object."""
REGION = "esq"
"""S3 region; it is part of signatures, so clients must use the same."""
REPLICATION_FACTOR = 3


def render_garage_toml(peers: Sequence[str]) -> str:
    """Return `garage.toml`; secrets and the pod's own address come from its environment.

    Args:
        peers: `ID@host:port` of each node.
    """
    peer_lines = ",\n".join(f'    "{peer}"' for peer in peers)
    return f"""\
metadata_dir = "/var/lib/garage/meta"
data_dir = "/var/lib/garage/data"
db_engine = "lmdb"
# Acknowledged writes are on the disks of two zones, not only in their memory.
metadata_fsync = true
data_fsync = true
replication_factor = {REPLICATION_FACTOR}
consistency_mode = "consistent"
compression_level = 1
# Disconnected nodes are detected within seconds.
rpc_ping_timeout_msec = 5000
# A dead node still gets requests for a minute, until it has missed four pings. A request has to time out and
# reach the third node within the timeout of its own client.
rpc_timeout_msec = 1000
rpc_bind_addr = "0.0.0.0:{RPC_PORT}"
# The kubelet makes secrets readable by the pod's group; Garage requires files readable by one user only.
allow_world_readable_secrets = true
rpc_secret_file = "/etc/esq/secrets/rpc_secret"
bootstrap_peers = [
{peer_lines}
]

[s3_api]
api_bind_addr = "127.0.0.1:{LOOPBACK_S3_PORT}"
s3_region = "{REGION}"

[admin]
api_bind_addr = "127.0.0.1:{LOOPBACK_ADMIN_PORT}"
admin_token_file = "/etc/esq/secrets/admin_token"
"""


def render_node_key_script() -> str:
    """Return the script of the init container: it writes the node's key into Garage's metadata folder."""
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


def render_haproxy_config() -> str:
    """Return `haproxy.cfg` of the TLS proxy of a pod's Garage.

    For S3 it forwards bytes unchanged (TCP mode), which keeps signatures valid and allows uploads of any
    length.
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
    default_backend s3

frontend admin
    bind :{ADMIN_PORT} ssl crt /etc/esq/secrets/server.pem ca-file /etc/esq/secrets/ca.crt verify required
    tcp-request content reject unless {{ ssl_c_s_dn(cn) -m str {OBJECT_STORE_ADMIN} }}
    default_backend admin

frontend probes
    mode http
    bind :{PROBE_PORT} ssl crt /etc/esq/secrets/server.pem
    timeout http-request 5s
    monitor-uri {PROXY_PROBE_PATH}
    monitor fail if {{ nbsrv(s3) lt 1 }}
    http-request deny unless {{ method GET }} {{ path {GARAGE_PROBE_PATH} }}
    default_backend health

backend s3
    server garage 127.0.0.1:{LOOPBACK_S3_PORT} check inter 2s fall 2 rise 1

backend admin
    server garage 127.0.0.1:{LOOPBACK_ADMIN_PORT}

backend health
    mode http
    server garage 127.0.0.1:{LOOPBACK_ADMIN_PORT}
"""
