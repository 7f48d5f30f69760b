"""The client of the observability layer, without a layer."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.client.exceptions import ApiException

from cli import observability_client
from cli.observability_client import LayerUnavailableError, ObservabilityClient
from infra.components.observability import TOKEN_HEADER, TOKEN_KEY

if TYPE_CHECKING:
    from pathlib import Path


def test_token_of_a_rotation_is_used_after_one_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = ["old"]

    def send(*_: Any, headers: dict[str, str], **__: Any) -> str:
        if headers[TOKEN_HEADER] != f"Bearer {token[0]}":
            raise ApiException(status=401)
        return "[]"

    def secret(_: ObservabilityClient) -> Any:
        return SimpleNamespace(data={TOKEN_KEY: base64.b64encode(token[0].encode()).decode()})

    monkeypatch.setattr(observability_client, "api_client", lambda *_, **__: None)
    monkeypatch.setattr(observability_client, "send", send)
    monkeypatch.setattr(ObservabilityClient, "_secret", secret)
    client = ObservabilityClient(tmp_path)
    assert client.alerts() == []
    token[0] = "new"
    with pytest.raises(LayerUnavailableError, match="401"):
        client.alerts()
    assert client.alerts() == []
