"""What a program in a pod prints."""

from __future__ import annotations

from unittest.mock import create_autospec

import pytest
from kubernetes import client
from websocket import ABNF, WebSocket

from infra import pod_exec


def test_output_that_is_no_text_is_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    websocket = create_autospec(WebSocket, instance=True)
    frames = [b"\x01caf\xc3", b"\x02\xff", b'\x03{"status": "Success"}']
    websocket.recv_data.side_effect = [(ABNF.OPCODE_BINARY, frame) for frame in frames] + [
        (ABNF.OPCODE_CLOSE, b"")
    ]
    monkeypatch.setattr(pod_exec, "WebSocket", lambda **_: websocket)
    api = client.ApiClient(client.Configuration())
    execution = pod_exec.run_in_container(api, ("default", "web-0", "main"), ["cat", "log"], 5)
    assert execution == pod_exec.Execution("caf\ufffd", "\ufffd", "")
