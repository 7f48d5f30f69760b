"""Dashboards for Grafana: write them to files, or into a Grafana by its HTTP API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from infra.dashboards.grafana import DASHBOARDS, dashboard_json
from infra.errors import EsqError, UnreachableError, UsageError
from infra.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = {"uid": "esq", "title": "esq"}
"""Folder of the dashboards in Grafana."""
TIMEOUT_SECONDS = 15.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_MAX_DETAIL_CHARACTERS = 300


def export_dashboards(folder: Path) -> list[Path]:
    """Write each dashboard to `UID.json`, as Grafana's file provisioning reads it.

    Args:
        folder: folder for the files; created if it is missing.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_atomically(folder / f"{source.uid}.json", json.dumps(dashboard_json(source), indent=2) + "\n")
        for source in DASHBOARDS
    ]


def apply_dashboards(url: str, token: str) -> dict[str, str]:
    """Create or replace the dashboards in a Grafana.

    Args:
        url: URL of the Grafana.
        token: token of a service account with the role Editor.

    Returns:
        The URL of each dashboard by its uid.

    Raises:
        UsageError: no HTTP URL, or the token would be sent unencrypted to another machine.
        EsqError: Grafana rejects a request.
        UnreachableError: Grafana does not answer.
    """
    _require_safe_url(url)
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=TIMEOUT_SECONDS) as http:
        _ensure_folder(http)
        return {source.uid: url.rstrip("/") + _apply(http, dashboard_json(source)) for source in DASHBOARDS}


def _require_safe_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(
            f"`{url}` is no URL", location="URL", remedy="Give e.g. https://grafana.example.com."
        )
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise UsageError(
            f"the token would be sent unencrypted to {parts.hostname}",
            location="URL",
            remedy="Use https, or forward a port of this machine.",
        )


def _ensure_folder(http: httpx.Client) -> None:
    response = _request(http, "GET", f"/api/folders/{FOLDER['uid']}", accepted=httpx.codes.NOT_FOUND)
    if response.status_code == httpx.codes.NOT_FOUND:
        _request(http, "POST", "/api/folders", body=FOLDER)


def _apply(http: httpx.Client, document: dict[str, Any]) -> str:
    body = {"dashboard": document, "folderUid": FOLDER["uid"], "overwrite": True, "message": "esq dashboards"}
    return str(_request(http, "POST", "/api/dashboards/db", body=body).json()["url"])


def _request(
    http: httpx.Client, method: str, path: str, *, body: object = None, accepted: int | None = None
) -> httpx.Response:
    try:
        response = http.request(method, path, json=body)
    except httpx.TransportError as error:
        raise UnreachableError(
            f"Grafana does not answer: {error}", location=str(http.base_url), remedy="Check the URL."
        ) from error
    if response.is_success or response.status_code == accepted:
        return response
    raise EsqError(
        f"Grafana rejects {method} {path} with {response.status_code}",
        location=str(http.base_url),
        remedy="Check the token: its service account needs the role Editor.",
        detail=response.text[:_MAX_DETAIL_CHARACTERS],
    )
