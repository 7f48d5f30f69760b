"""Finding a cluster: a kubeconfig by path or by content, and the TLS context and credentials it stands for."""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class UnreachableError(Exception):
    """There is no cluster to talk to; the text says why."""


@dataclass(frozen=True)
class Access:
    """How to talk to an API server.

    Attributes:
        server: its URL.
        context: TLS, with the client certificate if there is one.
        token: bearer token; empty for none.
        namespace: the context's default.
        identity: what tells one cluster from another: server and authority.
    """

    server: str
    context: ssl.SSLContext
    token: str
    namespace: str
    identity: tuple[str, str]


def load(text: str = "", context: str = "", cluster: str = "") -> Access:
    """Return how to reach the cluster of a kubeconfig.

    Args:
        text: path or content; empty means `KUBECONFIG`, then `~/.kube/config`.
        context: context to use instead of the current one.
        cluster: cluster to use instead of the context's.

    Raises:
        UnreachableError: no kubeconfig, or one that names no cluster.
    """
    document = _document(text)
    try:
        chosen = _named(document, "contexts", context or document.get("current-context", ""))["context"]
        server = _named(document, "clusters", cluster or chosen["cluster"])["cluster"]
        user = _named(document, "users", chosen["user"])["user"]
        return Access(
            server=server["server"].rstrip("/"),
            context=_tls(server, user),
            token=_token(user),
            namespace=chosen.get("namespace", "default"),
            identity=identity(server),
        )
    except (KeyError, TypeError, AttributeError, OSError, ssl.SSLError, ValueError) as error:
        raise UnreachableError(f"the kubeconfig names no usable cluster: {error}") from error


def identity(server: dict[str, Any]) -> tuple[str, str]:
    """Return what tells one cluster entry from another."""
    return server.get("server", ""), server.get(
        "certificate-authority-data", server.get("certificate-authority", "")
    )


def _document(text: str) -> dict[str, Any]:
    named = text or os.environ.get("KUBECONFIG", "") or "~/.kube/config"
    path = Path(named).expanduser() if "\n" not in named else None
    try:
        content = path.read_text() if path is not None and path.is_file() else named
        document = yaml.safe_load(content)
    except (OSError, yaml.YAMLError) as error:
        raise UnreachableError(f"the kubeconfig cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise UnreachableError(f"no kubeconfig at {named[:200]!r}")
    return document


def _named(document: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    for each in document.get(kind) or []:
        if each["name"] == name:
            return dict(each)
    raise KeyError(f"no {kind.removesuffix('s')} called {name!r}")


def _material(entry: dict[str, Any], key: str) -> bytes | None:
    if f"{key}-data" in entry:
        return base64.b64decode(entry[f"{key}-data"])
    return Path(entry[key]).expanduser().read_bytes() if key in entry else None


def _tls(server: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext:
    authority = _material(server, "certificate-authority")
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if server.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = _material(user, "client-certificate"), _material(user, "client-key")
    if certificate and key:
        # The standard library reads key pairs from files only; this one is gone before anyone else could
        # look.
        with tempfile.NamedTemporaryFile(suffix=".pem") as pair:
            pair.write(certificate + b"\n" + key)
            pair.flush()
            context.load_cert_chain(pair.name)
    return context


def _token(user: dict[str, Any]) -> str:
    if "tokenFile" in user:
        return Path(user["tokenFile"]).read_text().strip()
    return str(user.get("token", ""))
