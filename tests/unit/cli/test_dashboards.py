"""`esq dashboards` against a server with the API of Grafana that it uses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from infra.dashboards.grafana import DASHBOARDS

TOKEN = "token-of-the-test"
UIDS = {source.uid for source in DASHBOARDS}


class Grafana(ThreadingHTTPServer):
    """Folders and dashboards in memory; overwrites only when it is asked to, as Grafana does."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folders: dict[str, str] = {}
        self.dashboards: dict[str, Any] = {}
        self.status: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def respond(self, method: str, path: str, body: Any) -> tuple[int, Any]:  # noqa: PLR0911 - one per case
        if self.status:
            return self.status, {"message": "no permission"}
        match method, path:
            case "GET", "/api/folders/esq":
                return (200, {}) if "esq" in self.folders else (404, {"message": "folder not found"})
            case "POST", "/api/folders":
                self.folders[body["uid"]] = body["title"]
                return 200, {}
            case "POST", "/api/dashboards/db":
                dashboard = body["dashboard"]
                if body["folderUid"] not in self.folders:
                    return 400, {"message": "folder not found"}
                if dashboard["uid"] in self.dashboards and not body["overwrite"]:
                    return 412, {"message": "exists"}
                self.dashboards[dashboard["uid"]] = dashboard
                return 200, {"url": f"/d/{dashboard['uid']}"}
        return 404, {"message": "no such path"}


class _Handler(BaseHTTPRequestHandler):
    server: Grafana

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length) or b"null")
        is_allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        status, answer = self.server.respond(self.command, self.path, body) if is_allowed else (401, {})
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer  # noqa: N815 - names of the library

    def log_message(self, *_: object) -> None:
        """Write no log."""


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    with Grafana() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join(20)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    return file


def test_apply_creates_folder_and_dashboards_and_can_be_repeated(
    grafana: Grafana, token_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert run(["dashboards", "apply", grafana.url, "--token-file", str(token_file), "--json"]) == 0
        applied = json.loads(capsys.readouterr().out)["dashboards"]
        assert applied == {uid: f"{grafana.url}/d/{uid}" for uid in UIDS}
    assert grafana.folders == {"esq": "esq"}
    assert set(grafana.dashboards) == UIDS


def test_token_from_the_environment(grafana: Grafana, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    assert run(["dashboards", "apply", f"{grafana.url}/"]) == 0
    assert set(grafana.dashboards) == UIDS


def test_rejected_token_is_an_error_that_does_not_show_it(
    grafana: Grafana, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", "another-token")
    assert run(["dashboards", "apply", grafana.url]) == 1
    error = capsys.readouterr().err
    assert "rejects GET /api/folders/esq with 401" in error
    assert "role Editor" in error
    assert "another-token" not in error


def test_missing_permission_is_an_error(
    grafana: Grafana, token_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grafana.status = 403
    assert run(["dashboards", "apply", grafana.url, "--token-file", str(token_file)]) == 1
    assert "no permission" in capsys.readouterr().err


def test_grafana_that_does_not_answer(token_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Grafana() as closed:
        url = closed.url
    assert run(["dashboards", "apply", url, "--token-file", str(token_file)]) == 1
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "reason"),
    [("http://grafana.example.com", "unencrypted"), ("grafana", "no URL"), ("ftp://x", "no URL")],
)
def test_unsafe_url_is_refused(
    url: str, reason: str, token_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["dashboards", "apply", url, "--token-file", str(token_file)]) == 2
    assert reason in capsys.readouterr().err


def test_missing_token_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GRAFANA_TOKEN", raising=False)
    assert run(["dashboards", "apply", "https://grafana.example.com"]) == 2
    assert "GRAFANA_TOKEN" in capsys.readouterr().err
    assert run(["dashboards", "apply", "https://x", "--token-file", str(tmp_path / "none")]) == 2


def test_export_writes_a_file_per_dashboard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "dashboards"
    assert run(["dashboards", "export", str(folder), "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert {Path(file).stem for file in files} == UIDS
    assert {json.loads(Path(file).read_text())["uid"] for file in files} == UIDS
