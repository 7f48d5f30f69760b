"""The edge: one HTTPS address of the host in front of all zones.

It health-checks every service in every zone: a lost zone is removed after two failed checks, before
Kubernetes marks its node as lost. A lost zone accepts no connection, which is known after one second. A zone
that accepts the connection and is slow has three seconds, since its removal aborts its requests and adds load
to the others. A request is retried in another zone only if no connection was established, so that no service
received it, or if it is a GET that was answered with nothing or with 503.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from infra.errors import EsqError
from infra.files import write_atomically
from services.contracts.endpoints import PUBLIC_ENDPOINTS, READINESS_PATH

if TYPE_CHECKING:
    from pathlib import Path

    from infra.zones.paths import ClusterPaths
    from infra.zones.spec import ClusterSpec
    from services.contracts.endpoints import PublicEndpoint

PORT = 443
_HEADER = """\
global
    maxconn 8192
    log stderr local0 notice
    ssl-default-bind-options ssl-min-ver TLSv1.2
    stats socket "{socket}" mode 600 level admin

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
    bind {address}:{port} ssl crt "{certificate}" alpn h2,http/1.1
    http-request return status 200 content-type text/plain string ok if {{ path /edge/health }}
    http-request disable-l7-retry unless METH_GET
"""
_CONTROL_TIMEOUT_SECONDS = 5.0
_SERVER_OPTIONS = (
    "    default-server check inter 2s fastinter 300ms downinter 500ms fall 2 rise 1",
    'ssl verify required ca-file "{authority}" verifyhost {name} check-sni {name} sni str({name})',
    # No backend asks for it, but HAProxy replaces the authority only of servers with a certificate.
    'crt "{certificate}"',
    "on-marked-down shutdown-sessions",
)


def backend_ca_file(paths: ClusterPaths) -> Path:
    """Return the file with the certificate authorities of the backends."""
    return paths.config / "backends.pem"


def _control_socket(paths: ClusterPaths) -> Path:
    return paths.run / "edge.sock"


def trust_backend_ca(paths: ClusterPaths, authorities: str) -> None:
    """Let the edge trust these certificate authorities, now and after a restart; no connection is closed.

    Args:
        paths: files of the cluster.
        authorities: PEM of all trusted certificate authorities.

    Raises:
        EsqError: HAProxy rejects them, or does not respond.
    """
    # HAProxy separates the words of a command by spaces.
    file = str(write_atomically(backend_ca_file(paths), authorities)).replace(" ", "\\ ")
    _control(paths, f"set ssl ca-file {file} <<\n{authorities.strip()}\n\n")
    answer = _control(paths, f"commit ssl ca-file {file}\n")
    if "Success" not in answer:
        raise _control_error(paths, answer)


def _control(paths: ClusterPaths, command: str) -> str:
    """Send one command to HAProxy's control socket and return its answer."""
    try:
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(_CONTROL_TIMEOUT_SECONDS)
            stream.connect(str(_control_socket(paths)))
            stream.sendall(command.encode())
            stream.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: stream.recv(4096), b"")).decode()
    except OSError as error:
        raise _control_error(paths, str(error)) from error


def _control_error(paths: ClusterPaths, answer: str) -> EsqError:
    return EsqError(
        "the edge does not accept the certificate authority of the services",
        location=str(_control_socket(paths)),
        remedy="Repeat the command; `esq cluster status` shows whether the edge runs.",
        detail=answer[:500],
    )


def render(spec: ClusterSpec, paths: ClusterPaths) -> str:
    """Return HAProxy's configuration: a backend per public endpoint, with a server per zone.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.
    """
    header = _HEADER.format(
        socket=_control_socket(paths),
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
    authority, certificate = backend_ca_file(paths), paths.pki / "gateway.pem"
    lines = [
        f"\nbackend {endpoint.service}",
        f"    option httpchk GET {READINESS_PATH}",
        # A stopping process: no further requests, but its present ones are answered.
        "    http-check disable-on-404",
        "    http-check expect status 200",
        " ".join(_SERVER_OPTIONS).format(authority=authority, certificate=certificate, name=endpoint.service),
        *(f"    server {zone} {spec.node(zone)}:{endpoint.node_port}" for zone in spec.zones),
    ]
    return "\n".join(lines) + "\n"
