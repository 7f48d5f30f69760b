"""Load generators in a cluster: clocks, an interrupted log, failures, and what remains of them."""

from __future__ import annotations

import itertools
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from unittest.mock import create_autospec

import pytest
import yaml
from kubernetes import client
from websocket import ABNF, WebSocket, WebSocketConnectionClosedException

from infra import pod_exec
from infra.errors import EsqError
from infra.pod_exec import Dialogue
from loadtests.in_cluster import generators as module
from loadtests.in_cluster.cluster import LoadCluster
from loadtests.in_cluster.generators import CLOCK_ERROR, ClusterGenerators
from loadtests.in_cluster.manifests import (
    CONFIG_FOLDER,
    ClusterRun,
    config_secret,
    master_job,
    network_policy,
    worker_job,
)
from loadtests.master_messages import GeneratorFailedError
from loadtests.protocol import (
    CreatedCampaign,
    GeneratorMessage,
    GeneratorResult,
    LoadConfig,
    LoadProfile,
    LoadTarget,
    Progress,
)
from loadtests.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OFFSET_SECONDS = 1000.0
PROFILE = LoadProfile(shape=Shape.STEADY, rate=10, duration_seconds=1)
CREATED = CreatedCampaign(company="acme", id="c1", due_at=OFFSET_SECONDS + 5.0)
RUN = ClusterRun("esq-load-1", "registry.example/loadtests@sha256:1", "api", PROFILE, 3)


def messages(*, created: bool = True) -> list[str]:
    """Return the log of a master whose clock is ahead by the offset."""
    result = GeneratorResult(arrivals=10, created=[CREATED] if created else [])
    return [
        "[INFO] Waiting for workers to be ready",
        GeneratorMessage(start=time.monotonic() + OFFSET_SECONDS).model_dump_json(),
        GeneratorMessage(progress=Progress(due=5)).model_dump_json(),
        GeneratorMessage(results=[result]).model_dump_json(),
    ]


class FakeClock:
    """The clock of a machine that is ahead, or one that does not answer."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.is_closed = False

    def exchange_line(self, line: str = "") -> str:
        assert not line
        if not self.answers:
            raise WebSocketConnectionClosedException
        return str(time.monotonic() + OFFSET_SECONDS)

    def close(self) -> None:
        self.is_closed = True


class FakeCluster:
    """A cluster in which a run prints a log; the first reads of it break off after `breaks` lines."""

    def __init__(self, log: list[str], *, breaks: tuple[int, ...] = (), clock_answers: bool = True) -> None:
        self.log, self.breaks = log, iter(breaks)
        self.runs: dict[str, LoadTarget] = {}
        self.clock = FakeClock(answers=clock_answers)
        self.is_ended = True

    def create(self, run: ClusterRun, target: LoadTarget, ca: str | None) -> None:
        assert ca is None
        self.runs[run.name] = target

    def delete(self, name: str) -> None:
        del self.runs[name]

    def replace_config(self, run: ClusterRun, target: LoadTarget, ca: str | None) -> None:
        assert ca is None
        self.runs[run.name] = target

    def follow_log(self, run: ClusterRun) -> Iterator[str]:
        assert run.name in self.runs
        count = next(self.breaks, None)
        yield from self.log[:count]
        if count is not None:
            raise OSError("the connection was lost")

    def has_ended(self, run: ClusterRun) -> bool:
        assert run.name in self.runs
        return self.is_ended

    def problems(self, run: ClusterRun) -> list[str]:
        return [f"{run.name}-x: ImagePullBackOff: no such image"]

    def open_clock(self, run: ClusterRun) -> FakeClock:
        assert run.name in self.runs
        return self.clock


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECONNECT_SECONDS", 0.01)


def generators(cluster: FakeCluster) -> ClusterGenerators:
    return ClusterGenerators(cluster, RUN.image, RUN.scenario, PROFILE, LoadTarget(url="https://edge"), 3)


def test_instants_of_the_cluster_become_those_of_this_machine() -> None:
    cluster = FakeCluster(messages())
    seen: list[int] = []
    with generators(cluster) as pool:
        before = time.monotonic()
        [result] = pool.run(lambda progress: seen.append(progress.due))
        assert abs(pool.start - before) < 10
    assert seen == [5]
    assert result.created[0].due_at == pytest.approx(5.0, abs=0.1)
    assert result.generator_errors == {}
    assert cluster.runs == {}, "the run is deleted"
    assert cluster.clock.is_closed


@pytest.mark.parametrize(("created", "errors"), [(True, {CLOCK_ERROR: 1}), (False, {})])
def test_unknown_clock_makes_a_run_invalid_that_times_messages(
    *, created: bool, errors: dict[str, int]
) -> None:
    cluster = FakeCluster(messages(created=created), clock_answers=False)
    with generators(cluster) as pool:
        [result] = pool.run(lambda _: None)
        assert abs(pool.start - time.monotonic()) < 10, "the time of the message is used"
    assert result.generator_errors == errors


def test_interrupted_log_is_read_again_without_repeating_messages() -> None:
    log = messages()
    cluster = FakeCluster(log, breaks=(0, 1, 3, 2))
    seen: list[int] = []
    with generators(cluster) as pool:
        [result] = pool.run(lambda progress: seen.append(progress.due))
    assert seen == [5]
    assert result.arrivals == 10


def test_master_without_results_is_an_error_that_names_pods_and_log() -> None:
    cluster = FakeCluster(["Traceback (most recent call last):", "KeyError: 'x'"])
    with generators(cluster) as pool, pytest.raises(GeneratorFailedError) as caught:
        pool.run(lambda _: None)
    assert "the master exited; " in caught.value.message
    assert "ImagePullBackOff: no such image" in caught.value.message
    assert caught.value.detail.endswith("KeyError: 'x'")
    assert cluster.runs == {}


def test_image_that_cannot_be_pulled_ends_the_run_long_before_its_deadline() -> None:
    cluster = FakeCluster([])
    cluster.is_ended = False
    started = time.monotonic()
    with generators(cluster) as pool, pytest.raises(GeneratorFailedError, match="a pod cannot start"):
        pool.run(lambda _: None)
    assert time.monotonic() - started < 60
    assert cluster.runs == {}


def test_interrupted_run_is_deleted() -> None:
    cluster = FakeCluster(messages())

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), generators(cluster) as pool:
        pool.run(interrupt)
    assert cluster.runs == {}


def test_run_that_cannot_be_created_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster([])
    create = cluster.create

    def fail_after_the_first_object(run: ClusterRun, target: LoadTarget, ca: str | None) -> None:
        create(run, target, ca)
        raise EsqError("the API server rejects a request")

    monkeypatch.setattr(cluster, "create", fail_after_the_first_object)
    with pytest.raises(EsqError, match="rejects"), generators(cluster):
        pass
    assert cluster.runs == {}


def test_replaced_tokens_reach_the_pods() -> None:
    cluster = FakeCluster(messages())
    with generators(cluster) as pool:
        pool.replace_tokens({"acme": "second"})
        [target] = cluster.runs.values()
        assert target.tokens == {"acme": "second"}


def test_secrets_are_in_the_secret_only_and_every_object_has_an_owner() -> None:
    target = LoadTarget(url="https://edge", ca_file="/home/ann/ca.crt", tokens={"acme": "secret-token"})
    secret = config_secret(RUN, "uid-1", target, "PEM")
    config = LoadConfig.model_validate_json(secret["stringData"]["load.json"])
    assert config.target is not None
    assert config.target.tokens == {"acme": "secret-token"}
    assert config.target.ca_file == f"{CONFIG_FOLDER}/ca.crt"
    owned = [secret, network_policy(RUN, "uid-1"), worker_job(RUN, "uid-1")]
    for document in owned:
        assert [owner["uid"] for owner in document["metadata"]["ownerReferences"]] == ["uid-1"]
    assert "secret-token" not in json.dumps([master_job(RUN), *owned[1:]])
    assert owned[2]["spec"]["completions"] == 3


def test_network_policy_admits_the_workers_of_the_run_only() -> None:
    policy = network_policy(RUN, "uid-1")["spec"]
    workers = worker_job(RUN, "uid-1")["spec"]["template"]["metadata"]["labels"]
    [rule] = policy["ingress"]
    [peer] = rule["from"]
    assert peer["podSelector"]["matchLabels"].items() <= workers.items()
    assert policy["podSelector"]["matchLabels"].items() <= workers.items()
    master = master_job(RUN)["spec"]["template"]["metadata"]["labels"]
    assert not peer["podSelector"]["matchLabels"].items() <= master.items()


class LogServer(BaseHTTPRequestHandler):
    """An API server with one pod, whose log arrives in parts that end in the middle of lines."""

    protocol_version = "HTTP/1.1"
    parts = (b'{"a": 1}\n{"b', b'": "\xc3', b'\xa9"}\n', b"last\n")

    def do_GET(self) -> None:
        if "/log" not in self.path:
            body = json.dumps({"kind": "PodList", "items": [{"metadata": {"name": "master-x"}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        assert "follow=True" in self.path
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in (*self.parts, b""):
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def log_server(tmp_path: Path) -> Iterator[Path]:
    """Yield the kubeconfig of a server with a log."""
    with ThreadingHTTPServer(("127.0.0.1", 0), LogServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        path = tmp_path / "kubeconfig"
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        users = [{"name": "u", "user": {}}]
        path.write_text(
            yaml.safe_dump(
                {"clusters": [cluster], "contexts": [context], "users": users, "current-context": "c"}
            )
        )
        yield path
        server.shutdown()


# The Kubernetes client calls what urllib3 is about to remove.
@pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning")
def test_log_is_followed_line_by_line(tmp_path: Path) -> None:
    with log_server(tmp_path) as kubeconfig:
        assert list(LoadCluster(kubeconfig).follow_log(RUN)) == ['{"a": 1}', '{"b": "é"}', "last"]


def test_dialogue_returns_one_line_per_question(monkeypatch: pytest.MonkeyPatch) -> None:
    websocket = create_autospec(WebSocket, instance=True)
    frames = [b"\x01", b"\x0112.", b"\x015\n13.5", b"\x01\n"]
    websocket.recv_data.side_effect = itertools.chain(
        ((ABNF.OPCODE_BINARY, frame) for frame in frames), [(ABNF.OPCODE_CLOSE, b"")]
    )
    monkeypatch.setattr(pod_exec, "WebSocket", lambda **_: websocket)
    api = client.ApiClient(client.Configuration())
    dialogue = Dialogue(api, ("default", "web-0", "main"), ["clock"], 5)
    assert [dialogue.exchange_line(), dialogue.exchange_line()] == ["12.5", "13.5"]
    assert websocket.send.call_args_list[0].args[0] == b"\x00\n"
    with pytest.raises(WebSocketConnectionClosedException):
        dialogue.exchange_line()
    dialogue.close()
    websocket.shutdown.assert_called_once()
