"""Traces of requests, events and batches, with and without a recorder of spans."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import APIRouter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from services.contracts.topics import MESSAGE_STATUS
from services.contracts.v1 import events_pb2 as v1
from services.kit.errors import ConflictError
from services.kit.http.app import create_app
from services.kit.kafka.envelope import OutboundEvent, decode
from services.kit.observability import tracing
from services.kit.observability.health import Health
from services.kit.observability.json_logging import JsonFormatter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = f"00-{TRACE_ID}-b7ad6b7169203331-01"
UNSAMPLED = f"00-{TRACE_ID}-b7ad6b7169203331-00"
OTHER = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01"
router = APIRouter()


@router.get("/things/{name}")
async def get_thing(name: str) -> dict[str, str]:
    if name == "taken":
        raise ConflictError("it is taken")
    if name == "broken":
        raise RuntimeError("+5511999999999")
    return {"trace": tracing.current_trace_id()}


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = create_app("test", Health(), routers=[router])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


@pytest.fixture
def recorded() -> Iterator[InMemorySpanExporter]:
    """Record all spans of the test."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use_tracer(provider.get_tracer("test"))
    yield exporter
    tracing.use_tracer(None)


def only(recorded: InMemorySpanExporter) -> ReadableSpan:
    (span,) = recorded.get_finished_spans()
    return span


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        SAMPLED[:-1],
        SAMPLED.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        SAMPLED.upper(),
    ],
)
def test_invalid_traceparent_starts_a_trace(text: str) -> None:
    assert not tracing.parse(text).is_valid
    with tracing.span("work", text):
        assert re.fullmatch("[0-9a-f]{32}", tracing.current_trace_id())
        assert tracing.current_trace_id() != TRACE_ID


@pytest.mark.parametrize("cause", [SAMPLED, UNSAMPLED, f"{SAMPLED.replace('00-', '01-', 1)}-later"])
def test_work_without_recorder_has_the_trace_of_its_cause(cause: str) -> None:
    assert tracing.current_traceparent() == ""
    with tracing.span("work", cause), tracing.span("part"):
        assert tracing.current_traceparent() == f"00-{cause[3:55]}"
        assert tracing.trace_headers() == {"traceparent": f"00-{cause[3:55]}"}
    assert tracing.current_trace_id() == ""
    assert tracing.trace_headers() == {}


def test_unsampled_trace_is_not_recorded(recorded: InMemorySpanExporter) -> None:
    with tracing.span("work", UNSAMPLED), tracing.client_span("GET", "contacts"):
        assert tracing.current_traceparent() == UNSAMPLED
    with tracing.batch_span("batch", [UNSAMPLED, UNSAMPLED.replace("0af7", "0af8")]):
        assert tracing.current_trace_id() not in {"", TRACE_ID}
    tracing.record_span("wait", UNSAMPLED, 1)

    assert recorded.get_finished_spans() == ()


def test_failed_work_names_the_class_of_its_error_and_not_its_text(recorded: InMemorySpanExporter) -> None:
    with pytest.raises(ConflictError), tracing.span("work", SAMPLED):
        raise ConflictError("+5511999999999")

    span = only(recorded)
    assert span.attributes == {"error.type": "ConflictError"}
    assert span.status.status_code is StatusCode.ERROR
    assert "+55" not in span.to_json()


def test_batch_with_one_cause_is_part_of_its_trace(recorded: InMemorySpanExporter) -> None:
    with tracing.batch_span("batch", [SAMPLED, SAMPLED]):
        assert tracing.current_trace_id() == TRACE_ID

    assert trace_of(only(recorded)) == TRACE_ID
    assert only(recorded).links == ()


def test_batch_of_several_traces_has_its_own_with_links(recorded: InMemorySpanExporter) -> None:
    causes = [SAMPLED, OTHER, "", UNSAMPLED.replace("0af7", "0af8")]
    with tracing.batch_span("batch", causes, kind=SpanKind.CONSUMER):
        pass

    span = only(recorded)
    assert span.parent is None
    assert trace_of(span) not in {TRACE_ID, OTHER[3:35]}
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [TRACE_ID, OTHER[3:35]]


def test_links_of_a_batch_are_bounded(recorded: InMemorySpanExporter) -> None:
    with tracing.batch_span("batch", [f"00-{number:032x}-{number:016x}-01" for number in range(1, 500)]):
        pass

    assert len(only(recorded).links) == tracing.MAX_LINKS


def test_work_that_is_over_is_recorded_with_its_duration(recorded: InMemorySpanExporter) -> None:
    with tracing.span("batch", OTHER):
        tracing.record_span("wait", SAMPLED, 2.5)

    wait = recorded.get_finished_spans()[0]
    assert trace_of(wait) == TRACE_ID
    assert ((wait.end_time or 0) - (wait.start_time or 0)) / 1e9 == pytest.approx(2.5)
    assert [f"{link.context.trace_id:032x}" for link in wait.links] == [OTHER[3:35]]


def test_events_and_log_lines_carry_the_trace() -> None:
    with tracing.span("work", SAMPLED):
        event = OutboundEvent.create(MESSAGE_STATUS, "k", "acme", v1.MessageStatusesUpdated())
        assert decode(event.encode()).traceparent == SAMPLED
        line = json.loads(JsonFormatter("s").format(logging.makeLogRecord({"msg": "x"})))
    assert line["trace_id"] == TRACE_ID


async def test_request_runs_in_its_callers_trace_or_in_a_new_one(client: httpx.AsyncClient) -> None:
    called = (await client.get("/things/a", headers={"traceparent": SAMPLED})).json()["trace"]
    uncalled = (await client.get("/things/a")).json()["trace"]

    assert called == TRACE_ID
    assert re.fullmatch("[0-9a-f]{32}", uncalled)
    assert uncalled != TRACE_ID


@pytest.mark.parametrize(
    ("path", "status"),
    [("/things/taken", 409), ("/things/broken", 500), ("/nothing", 404), ("/things/a?x=%ZZ", 200)],
)
async def test_error_bodies_and_spans_name_the_trace(
    client: httpx.AsyncClient,
    recorded: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
    path: str,
    status: int,
) -> None:
    with caplog.at_level(logging.ERROR):
        caplog.handler.setFormatter(JsonFormatter("test"))
        response = await client.get(path, headers={"traceparent": SAMPLED})

    assert response.status_code == status
    span = only(recorded)
    assert trace_of(span) == TRACE_ID
    assert span.kind is SpanKind.SERVER
    assert span.attributes is not None
    assert "/things/taken" not in span.to_json()
    if status >= 400:
        assert response.json()["trace_id"] == TRACE_ID
    if status == 500:
        assert span.status.status_code is StatusCode.ERROR
        assert json.loads(caplog.text)["trace_id"] == TRACE_ID
    else:
        assert span.attributes["http.response.status_code"] == status
