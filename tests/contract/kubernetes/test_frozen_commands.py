"""Commands on an existing cluster whose API server is frozen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from cli import main
from infra.kubernetes import api_client
from tests.servers.process import TIMEOUT_MULTIPLIER
from tests.unit.cli.definitions import write_definition

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.apiserver import ApiServer

pytestmark = [
    pytest.mark.contract,
    # The Kubernetes client calls what urllib3 is about to remove.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]

LIMIT_SECONDS = 30.0 * TIMEOUT_MULTIPLIER


@pytest.fixture
def _environment(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment `staging` on the API server; requests have short timeouts."""
    monkeypatch.setitem(api_client.__kwdefaults__, "timeout_seconds", 0.5)
    monkeypatch.setitem(api_client.__kwdefaults__, "retry_seconds", 1.0)
    monkeypatch.setenv("ESQ_ENVIRONMENTS_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    cluster = {"kubeconfig": str(server.kubeconfig), "context": "test"}
    write_definition(tmp_path, "staging", cluster=cluster)


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize(
    "command",
    [
        "status staging",
        "backup list staging",
        "backup create staging",
        "backup restore staging --target latest --in-place --confirm staging",
        "dlq list staging",
        "dlq show staging campaigns",
    ],
)
def test_command_ends_with_an_error(
    server: ApiServer, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    with server.frozen():
        assert main.run(command.split()) == 1
    assert time.monotonic() - started < LIMIT_SECONDS
    shown = capsys.readouterr().err
    assert "the API server does not answer" in shown or "the cluster is unreachable" in shown
