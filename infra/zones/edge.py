"""The edge: one HTTPS address of the host in front of all zones.

It health-checks every service in every zone: a lost zone is removed after two failed checks, before
Kubernetes marks its node as lost. A lost zone accepts no connection, which is known after one second. A zone
that accepts the connection and is slow has three seconds, since its removal aborts its requests and adds load
to the others. A request is retried in another zone only if no connection was established, so that no service
received it, or if it is a GET that was answered with nothing or with 503.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.contracts.endpoints import PUBLIC_ENDPOINTS, READINESS_PATH

if TYPE_CHECKING:
    from infra.zones.paths import ClusterPaths
    from infra.zones.spec import ClusterSpec
    from services.contracts.endpoints import PublicEndpoint

PORT = 443
_HEADER = """\
global
    maxconn 8192
    log stderr local0 notice
    ssl-default-bind-options ssl-min-ver TLSv1.2
    stats socket {socket} mode 600 level admin

defaults
    mode http
    log global
    timeout connect 1s
    timeout check 3s
    timeout client 60s
    timeout server 60s
    timeout http-request 10s
    retries 2
    option redispatch 1
    retry-on conn-failure empty-response 503

frontend edge
    bind {address}:{port} ssl crt {certificate} alpn h2,http/1.1
    http-request return status 200 content-type text/plain string ok if {{ path /edge/health }}
    http-request disable-l7-retry unless METH_GET
"""
_SERVER_OPTIONS = (
    "    default-server check inter 2s fastinter 300ms downinter 500ms fall 2 rise 1",
    "ssl verify required ca-file {authority} verifyhost {name} check-sni {name} sni str({name})",
    "on-marked-down shutdown-sessions",
)


def render(spec: ClusterSpec, paths: ClusterPaths) -> str:
    """Return HAProxy's configuration: a backend per public endpoint, with a server per zone.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.
    """
    header = _HEADER.format(
        socket=paths.run / "edge.sock",
        address=spec.gateway,
        port=PORT,
        certificate=paths.pki / "gateway.pem",
    )
    rules = [
        f"    use_backend {endpoint.service} if {{ path_beg {' '.join(endpoint.path_prefixes)} }}"
        for endpoint in PUBLIC_ENDPOINTS
    ]
    missing = (
        "    http-request return status 404 content-type application/problem+json string "
        '"{\\"title\\":\\"no such path at the edge\\",\\"status\\":404}" if !{ path_beg '
        + " ".join(prefix for endpoint in PUBLIC_ENDPOINTS for prefix in endpoint.path_prefixes)
        + " }"
    )
    return (
        header
        + "\n".join([missing, *rules])
        + "\n"
        + "".join(_backend(endpoint, spec, paths) for endpoint in PUBLIC_ENDPOINTS)
    )


def _backend(endpoint: PublicEndpoint, spec: ClusterSpec, paths: ClusterPaths) -> str:
    authority = paths.config / "backends.pem"
    lines = [
        f"\nbackend {endpoint.service}",
        f"    option httpchk GET {READINESS_PATH}",
        "    http-check expect status 200",
        " ".join(_SERVER_OPTIONS).format(authority=authority, name=endpoint.service),
        *(f"    server {zone} {spec.node(zone)}:{endpoint.node_port}" for zone in spec.zones),
    ]
    return "\n".join(lines) + "\n"
