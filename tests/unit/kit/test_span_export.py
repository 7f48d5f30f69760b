"""Export of spans: bounded, counted, and without effect on the work whose spans they are."""

from __future__ import annotations

import subprocess
import sys
import time
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from services.kit.observability import tracing
from services.kit.observability.span_export import start_export
from services.kit.settings import ProcessSettings
from tests.metrics import metric
from tests.servers.collector import Collector
from tests.servers.process import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAIT_SECONDS = 20.0
LONGEST_SPAN_SECONDS = 0.5
"""A span takes microseconds; a wait for the collector would take seconds."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as started:
        yield started


@pytest.fixture
def export() -> Iterator[Callable[..., None]]:
    """Return a function that starts the export; it is stopped after the test."""
    stops: list[Callable[[], None]] = []

    def start(url: str, **settings: object) -> None:
        values = {"service": "whatsapp", "traces_endpoint": url, "traces_ratio": 1, **settings}
        stops.append(start_export(ProcessSettings.model_validate(values)))

    yield start
    for stop in stops:
        stop()


def dropped(reason: str) -> float:
    return metric("esq_trace_spans_dropped_total", reason=reason) or 0


def record_spans(count: int) -> float:
    """Record spans; return the longest time that one took in seconds."""
    longest = 0.0
    for number in range(count):
        started_at = time.perf_counter()
        with tracing.span(f"span {number}", ""):
            pass
        longest = max(longest, time.perf_counter() - started_at)
    return longest


def test_spans_arrive_with_the_attributes_of_their_process(
    collector: Collector, export: Callable[..., None]
) -> None:
    process = {"process": "whatsapp-worker", "zone": "zone-a", "instance": "pod-1", "environment": "staging"}
    export(collector.url, traces_password="secret", **process)
    with tracing.span("outer", "") as outer, tracing.span("inner"):
        pass
    wait_until("two spans", lambda: len(collector.spans) == 2, WAIT_SECONDS)

    assert collector.logins[0] == f"Basic {b64encode(b'esq:secret').decode()}"
    inner, received_outer = collector.spans
    assert (inner.name, received_outer.name) == ("inner", "outer")
    assert inner.parent_id == received_outer.span_id == f"{outer.get_span_context().span_id:016x}"
    assert inner.resource == {
        "service.namespace": "esq",
        "service.name": "whatsapp-worker",
        "service.instance.id": "pod-1",
        "deployment.environment.name": "staging",
        "cloud.availability_zone": "zone-a",
    }


def test_silent_collector_blocks_nothing_and_its_spans_are_counted(
    collector: Collector, export: Callable[..., None]
) -> None:
    export(collector.url, traces_queue_size=10)
    collector.answers.clear()
    before, exported = dropped("queue_full"), metric("esq_trace_spans_exported_total") or 0

    assert record_spans(200) < LONGEST_SPAN_SECONDS

    assert dropped("queue_full") == before + 190
    collector.answers.set()
    wait_until(
        "the spans of the queue",
        lambda: metric("esq_trace_spans_exported_total") == exported + 10,
        WAIT_SECONDS,
    )
    record_spans(5)
    wait_until("later spans", lambda: len(collector.spans) == 15, WAIT_SECONDS)


@pytest.mark.parametrize("failure", ["absent", "rejects"])
def test_spans_that_the_collector_does_not_take_are_counted(
    collector: Collector, export: Callable[..., None], failure: str
) -> None:
    collector.status = 400
    export(f"http://127.0.0.1:{free_port()}" if failure == "absent" else collector.url)
    before = dropped("export_failed")

    assert record_spans(20) < LONGEST_SPAN_SECONDS

    wait_until("all spans are counted", lambda: dropped("export_failed") == before + 20, WAIT_SECONDS)


def test_only_a_share_of_new_traces_is_recorded_and_a_caller_decides_about_its_own(
    collector: Collector, export: Callable[..., None]
) -> None:
    export(collector.url, traces_ratio=0)
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    for flags in ("00", "01"):
        with tracing.span("child", f"00-{trace_id}-b7ad6b7169203331-{flags}"):
            assert tracing.current_trace_id() == trace_id
    record_spans(20)
    with tracing.span("last", f"00-{trace_id}-b7ad6b7169203331-01"):
        pass

    wait_until("the recorded spans", lambda: len(collector.spans) >= 2, WAIT_SECONDS)
    assert [span.name for span in collector.spans] == ["child", "last"]


def test_process_without_collector_does_not_load_the_sdk() -> None:
    program = (
        "import sys, services.whatsapp.bootstrap, services.campaigns.bootstrap, services.kit.runtime\n"
        "from services.kit.observability import tracing\n"
        "with tracing.span('x', ''): pass\n"
        "print([name for name in sys.modules if 'opentelemetry.exporter' in name or 'span_export' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"
