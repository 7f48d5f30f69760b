"""Patterns of log lines: what is one, what is masked, what is new, and what has exploded."""

from __future__ import annotations

import datetime as dt
import json
import threading
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs

import pytest

from cli.actions import deployment_target, log_patterns, pod_logs
from cli.actions.log_patterns import MAX_PATTERNS, Baseline, Pattern, PatternStatus, mine, parse_age
from cli.actions.pod_logs import LogLine, parse_line, split_lines
from cli.actions.workloads import WORKLOADS
from cli.environment import load_environment
from cli.main import run
from infra.errors import EsqError, UsageError

NOW = dt.datetime(2026, 11, 30, 3, tzinfo=dt.UTC)


def sent(count: int, *, offset: int = 0) -> list[LogLine]:
    """Return lines of one pattern."""
    return [
        LogLine("whatsapp-dispatcher", "info", f"Sent message {number} to connection {number * 7}")
        for number in range(offset, offset + count)
    ]


def baseline_of(lines: list[LogLine], minutes: float = 10) -> Baseline:
    return Baseline(
        recorded_at=NOW,
        minutes=minutes,
        lines={pattern.text: pattern.lines for pattern in mine(lines, None, minutes)},
    )


def by_status(patterns: list[Pattern]) -> dict[PatternStatus, list[str]]:
    statuses: dict[PatternStatus, list[str]] = {}
    for pattern in patterns:
        statuses.setdefault(pattern.status, []).append(pattern.text)
    return statuses


def test_lines_that_differ_in_values_are_one_pattern() -> None:
    [pattern] = mine(sent(100), None, 10)
    assert pattern.text == "whatsapp-dispatcher info Sent message <NUM> to connection <NUM>"
    assert (pattern.lines, pattern.per_minute, pattern.status) == (100, 10, PatternStatus.UNCOMPARED)


def test_workloads_and_levels_have_patterns_of_their_own() -> None:
    lines = [
        LogLine("a", "info", "started"),
        LogLine("b", "info", "started"),
        LogLine("a", "error", "started"),
    ]
    assert len(mine(lines, None, 1)) == 3


@pytest.mark.parametrize(
    ("value", "mask"),
    [
        ("+491701234567", "<PHONE>"),
        ("+49 170 1234-567", "<PHONE>"),
        ("491701234567", "<PHONE>"),
        ("+***", "<PHONE>"),
        ("0192f7a1-3c44-7b1e-9d0a-1f2e3d4c5b6a", "<ID>"),
        ("4bf92f3577b34da6a3ce929d0e0e4736", "<HEX>"),
        ("10.90.1.7:5432", "<IP>"),
        ("2026-11-30T10:00:00.123Z", "<TIME>"),
        ("ada@example.com", "<EMAIL>"),
        ("-12.5", "<NUM>"),
        ("postgres-2", "postgres-<NUM>"),
    ],
)
def test_values_are_masked(value: str, mask: str) -> None:
    [pattern] = mine([LogLine("a", "info", f"saw {value} again")], None, 1)
    assert pattern.text == f"a info saw {mask} again"


def test_same_lines_are_known_and_others_are_new() -> None:
    baseline = baseline_of(sent(100))
    failed = LogLine("whatsapp-dispatcher", "error", "The provider rejected the credential")
    patterns = mine([*sent(90, offset=5000), failed], baseline, 10)
    assert by_status(patterns) == {
        PatternStatus.NEW: ["whatsapp-dispatcher error The provider rejected the credential"],
        PatternStatus.KNOWN: ["whatsapp-dispatcher info Sent message <NUM> to connection <NUM>"],
    }


def test_pattern_with_a_multiple_of_its_rate_has_exploded() -> None:
    baseline = baseline_of(sent(100), minutes=10)
    [pattern] = mine(sent(500), baseline, 10)
    assert (pattern.status, pattern.baseline_per_minute) == (PatternStatus.EXPLODED, 10)
    [pattern] = mine(sent(499), baseline, 10)
    assert pattern.status is PatternStatus.KNOWN


def test_few_lines_are_no_explosion() -> None:
    baseline = baseline_of(sent(1), minutes=600)
    [pattern] = mine(sent(19), baseline, 10)
    assert pattern.status is PatternStatus.KNOWN
    [pattern] = mine(sent(20), baseline, 10)
    assert pattern.status is PatternStatus.EXPLODED


def test_exploded_patterns_come_first() -> None:
    baseline = baseline_of([*sent(1), LogLine("a", "info", "tick")], minutes=10)
    lines = [LogLine("b", "info", "fresh")] * 50 + [LogLine("a", "info", "tick")] + sent(30)
    assert [pattern.status for pattern in mine(lines, baseline, 10)] == [
        *(PatternStatus.EXPLODED, PatternStatus.NEW, PatternStatus.KNOWN),
    ]


def different_lines(count: int) -> Iterator[LogLine]:
    """Yield lines without anything in common."""
    for number in range(count):
        text = " ".join(
            f"{letter}{chr(97 + number % 26)}{chr(97 + number // 26 % 26)}x" for letter in "pqrstuv"
        )
        yield LogLine(f"w{chr(97 + number // 676 % 26)}{chr(97 + number // 17576)}", "info", text)


def test_memory_does_not_grow_with_the_number_of_patterns() -> None:
    tracemalloc.start()
    try:
        patterns = mine(different_lines(3 * MAX_PATTERNS), None, 1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(patterns) <= MAX_PATTERNS
    assert peak < 40 * 1024 * 1024


def test_baseline_survives_a_file(tmp_path: Path) -> None:
    file = tmp_path / "log-patterns.json"
    assert log_patterns.load_baseline(file) is None
    log_patterns.save_baseline(file, mine(sent(100), None, 10), 10, NOW)
    assert log_patterns.load_baseline(file) == baseline_of(sent(100))
    file.write_text("{")
    with pytest.raises(EsqError, match="cannot be read"):
        log_patterns.load_baseline(file)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1h", 3600), ("2d", 172_800)])
def test_age(text: str, seconds: int) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "0m", "-1h", "1w", "1h30m"])
def test_other_text_is_no_age(text: str) -> None:
    with pytest.raises(UsageError, match="no age"):
        parse_age(text)


def test_lines_of_services_are_json_and_others_are_text() -> None:
    line = json.dumps({"time": "10:00", "level": "WARNING", "message": "slow", "trace_id": "1"})
    assert parse_line("a", line) == LogLine("a", "warning", "slow", at="10:00", trace_id="1")
    assert parse_line("a", "{not json") == LogLine("a", "", "{not json")
    assert parse_line("a", '{"x": 1}') == LogLine("a", "", '{"x": 1}')
    assert parse_line("postgres", "LOG: checkpoint") == LogLine("postgres", "", "LOG: checkpoint")


def test_lines_are_split_across_chunks_and_cut() -> None:
    chunks = [b"fir", b"st\nsecond\n", b"x" * 20_000, b"x\nlast"]
    lines = list(split_lines(chunks))
    assert lines[:2] == ["first", "second"]
    assert len(lines[2]) == pod_logs.MAX_LINE_BYTES
    assert lines[3:] == ["last"]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[LogLine]:
    """Lines that the pods of a deployed environment have; its state is in a folder of the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    written: list[LogLine] = []

    class Target:
        kubeconfig = tmp_path / "kubeconfig"

    monkeypatch.setattr(deployment_target, "open_deployed_target", lambda *_: Target)
    monkeypatch.setattr(pod_logs, "read_logs", lambda *_: iter(written))
    return written


def test_command_compares_with_the_stored_baseline(
    lines: list[LogLine], capsys: pytest.CaptureFixture[str]
) -> None:
    lines += sent(20)
    assert run(["log-patterns", "local", "--save-baseline"]) == 0
    assert "stored as the baseline" in capsys.readouterr().out
    assert run(["log-patterns", "local"]) == 0
    assert "1 patterns, 1 known ones not shown" in capsys.readouterr().out
    lines += [*sent(200), LogLine("a", "error", "[red]odd[/]")]
    assert run(["log-patterns", "local", "--json"]) == 99
    statuses = [pattern["status"] for pattern in json.loads(capsys.readouterr().out)["patterns"]]
    assert statuses == ["exploded", "new"]
    assert run(["log-patterns", "local"]) == 99
    assert "[red]odd[/]" in capsys.readouterr().out
    assert (load_environment("local").folder / "log-patterns.json").stat().st_mode & 0o077 == 0


def test_command_without_baseline_claims_nothing(
    lines: list[LogLine], capsys: pytest.CaptureFixture[str]
) -> None:
    lines += sent(500)
    assert run(["log-patterns", "local"]) == 0
    assert "no baseline" in capsys.readouterr().out


class ApiServer(ThreadingHTTPServer):
    """The two requests of an API server that read logs."""

    daemon_threads = True
    queries: ClassVar[list[dict[str, list[str]]]] = []
    failure: ClassVar[tuple[int, str]] = (0, "")
    """Status and text for the log of the first pod; its log if 0."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        status, text = ApiServer.failure if path.endswith("-1/log") else (0, "")
        if status:
            content = json.dumps({"message": text}).encode()
        elif path.endswith("/log"):
            ApiServer.queries.append(parse_qs(query))
            content = (
                json.dumps({"level": "info", "message": f"of {path.split('/')[-2]}"}) + "\n"
            ).encode() * 2
        else:
            names = ["campaigns-api-1", "campaigns-api-2"]
            content = json.dumps({"items": [{"metadata": {"name": name}} for name in names]}).encode()
        self.send_response(status or 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Write no log."""


def write_kubeconfig(file: Path, url: str) -> Path:
    document = {
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file.write_text(json.dumps(document))
    return file


def read_messages(folder: Path) -> list[str]:
    """Return the messages of the two pods of the API server."""
    ApiServer.queries.clear()
    with ApiServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            kubeconfig = write_kubeconfig(folder / "kubeconfig", f"http://127.0.0.1:{server.server_port}")
            lines = list(pod_logs.read_logs(kubeconfig, [WORKLOADS["campaigns-api"]], 600))
        finally:
            server.shutdown()
            thread.join(20)
    return [line.message for line in lines]


@pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning")
def test_lines_of_all_pods_are_read_with_bounds(tmp_path: Path) -> None:
    assert read_messages(tmp_path) == [f"of campaigns-api-{number}" for number in (1, 1, 2, 2)]
    for query in ApiServer.queries:
        assert query == {"container": ["main"], "sinceSeconds": ["600"], "tailLines": ["20000"]}


@pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning")
@pytest.mark.parametrize(
    "failure",
    [
        (400, 'container "main" in pod "campaigns-api-1" is waiting to start: ContainerCreating'),
        (404, "gone"),
    ],
)
def test_pod_that_has_no_log_yet_does_not_hide_those_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: tuple[int, str]
) -> None:
    monkeypatch.setattr(ApiServer, "failure", failure)
    assert read_messages(tmp_path) == ["of campaigns-api-2"] * 2


@pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning")
def test_log_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ApiServer, "failure", (400, "container main is not valid"))
    with pytest.raises(EsqError):
        read_messages(tmp_path)
