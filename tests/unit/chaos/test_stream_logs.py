"""Raw logs of streams: complete up to a bound, and compressed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chaos import stream_logs
from chaos.stream_logs import read_stream_logs, write_stream_logs
from chaos.traffic.client_stats import compute_stats

if TYPE_CHECKING:
    from pathlib import Path

LOG = {
    "started_at": 100.0,
    "acked": [[number, 100.0 + number / 5, 100.01 + number / 5] for number in range(1000)],
    "failed": 0,
    "errors": {},
    "dropped": 0,
    "late": 0,
    "period": 0.2,
    "corrupt": 0,
    "stale": 0,
}
RESULT = {"streams": {"edge.write": LOG}, "stored": {"edge.write": list(range(1000))}, "problems": []}


def test_statistics_can_be_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "streams-1.json.gz"
    write_stream_logs(path, RESULT)
    logs = read_stream_logs(path)
    recomputed = compute_stats(logs["streams"]["edge.write"], 300.0, logs["stored"]["edge.write"])
    assert recomputed == compute_stats(LOG, 300.0, range(1000))
    assert logs["streams"]["edge.write"]["omitted"] == 0
    assert path.stat().st_size < 20_000
    assert path.stat().st_mode & 0o077 == 0


def test_long_logs_are_cut_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_logs, "MAX_ATTEMPTS", 10)
    path = tmp_path / "streams-1.json.gz"
    write_stream_logs(path, RESULT)
    [log] = read_stream_logs(path)["streams"].values()
    assert (len(log["acked"]), log["omitted"]) == (10, 990)
