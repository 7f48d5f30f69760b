"""What is reported of an object that is not ready, read from an API server that is a table of answers."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlparse

import pytest
import yaml

from cli import diagnostics
from cli.diagnostics import MAX_ENTRIES, ObjectReference, diagnose, pod_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# The Kubernetes client calls what urllib3 is about to remove.
pytestmark = pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning")

Manifest = dict[str, Any]
DEPLOYMENT = ObjectReference("apps/v1", "Deployment", "data", "web")
PODS = "/api/v1/namespaces/data/pods"
OWNER: Manifest = {"spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {}}}


def pod(container: Manifest, **status: object) -> Manifest:
    container = {"name": "main", "ready": False, "restartCount": 0, **container}
    return {
        "metadata": {"name": "web-0", "namespace": "data"},
        "status": {"containerStatuses": [container], **status},
    }


CRASHED = pod(
    {
        "restartCount": 2,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
        "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}},
    }
)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Callable[[dict[str, object]], Path]]:
    """Serves answers by path; what is not among them is not found."""
    servers: list[ThreadingHTTPServer] = []

    def serve(answers: dict[str, object]) -> Path:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlparse(self.path)
                answer = answers.get(url.path)
                if callable(answer):
                    answer = answer(parse_qs(url.query))
                self.send_response(404 if answer is None else 200)
                with suppress(ConnectionError):  # the client no longer waits
                    self.end_headers()
                    self.wfile.write((answer if isinstance(answer, str) else json.dumps(answer)).encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        kubeconfig = tmp_path / "kubeconfig"
        document = {
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "c", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        }
        kubeconfig.write_text(yaml.safe_dump(document))
        return kubeconfig

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_problems_then_logs_of_the_crashed_container_then_events_are_reported(
    cluster: Callable[[dict[str, object]], Path],
) -> None:
    events = [
        {"reason": "BackOff", "message": "restarting", "involvedObject": {"name": "web-0"}},
        {"reason": "Other", "message": "not ours", "involvedObject": {"name": "other"}},
    ]
    queries: list[dict[str, list[str]]] = []

    def log(query: dict[str, list[str]]) -> str:
        queries.append(query)
        return "no space left\n"

    kubeconfig = cluster(
        {
            DEPLOYMENT.path: OWNER,
            PODS: lambda query: {"items": [CRASHED] if query["labelSelector"] == ["app=web"] else []},
            f"{PODS}/web-0/log": log,
            "/api/v1/namespaces/data/events": {"items": events},
        }
    )
    assert diagnose(kubeconfig, DEPLOYMENT) == [
        "[Pod web-0/main]: CrashLoopBackOff: back-off",
        "[Pod web-0/main]: exited with 3: Error",
        "[Pod web-0/main] last log lines:\nno space left",
        "BackOff: restarting",
    ]
    assert queries == [{"container": ["main"], "tailLines": ["10"], "previous": ["true"]}]


def test_entries_are_limited(cluster: Callable[[dict[str, object]], Path]) -> None:
    events = [
        {"reason": "Failed", "message": str(index), "involvedObject": {"name": "web"}} for index in range(20)
    ]
    answers: dict[str, object] = {"/api/v1/namespaces/data/events": {"items": events}}
    assert len(diagnose(cluster(answers), DEPLOYMENT)) == MAX_ENTRIES


def test_failed_reads_of_logs_and_events_keep_the_problems(
    cluster: Callable[[dict[str, object]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnostics, "_TIMEOUT_SECONDS", 0.2)
    released = threading.Event()

    def log(_query: dict[str, list[str]]) -> str:
        released.wait(10)
        return "too late"

    answers = {DEPLOYMENT.path: OWNER, PODS: {"items": [CRASHED]}, f"{PODS}/web-0/log": log}
    # The path of the events is missing.
    problems = diagnose(cluster(answers), DEPLOYMENT)
    released.set()
    assert problems == pod_problems(CRASHED)


def test_missing_read_permission_adds_nothing(cluster: Callable[[dict[str, object]], Path]) -> None:
    assert diagnose(cluster({}), DEPLOYMENT) == []


def test_only_namespaced_objects_have_a_reference() -> None:
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "data", "name": "web-0"}}
    reference = ObjectReference.of(manifest)
    assert reference is not None
    assert reference.path == "/api/v1/namespaces/data/pods/web-0"
    assert ObjectReference.of({**manifest, "metadata": {"name": "web-0"}}) is None
    assert ObjectReference.of({"size": 3}) is None
    assert DEPLOYMENT.path == "/apis/apps/v1/namespaces/data/deployments/web"


@pytest.mark.parametrize(
    ("broken", "problems"),
    [
        (pod({"state": {"waiting": {"reason": "ContainerCreating"}}}), []),
        (
            pod({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}),
            ["[Pod web-0/main]: ImagePullBackOff: no such image"],
        ),
        (pod({"state": {"running": {}}}), ["[Pod web-0/main]: is running and not ready"]),
        (pod({"ready": True, "state": {"running": {}}}), []),
        (
            pod(
                {"ready": True},
                conditions=[{"type": "PodScheduled", "status": "False", "message": "no node fits"}],
            ),
            ["[Pod web-0]: no node fits"],
        ),
    ],
)
def test_pod_problems(broken: Manifest, problems: list[str]) -> None:
    assert pod_problems(broken) == problems
