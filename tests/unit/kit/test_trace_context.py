"""Trace context in events, log lines and HTTP requests."""

from __future__ import annotations

import json
import logging
import re

import httpx
import pytest
from fastapi import APIRouter

from services.contracts.topics import MESSAGE_STATUS
from services.contracts.v1 import events_pb2 as v1
from services.kit.http.app import create_app
from services.kit.kafka.envelope import OutboundEvent, decode
from services.kit.observability import trace_context
from services.kit.observability.health import Health
from services.kit.observability.json_logging import JsonFormatter

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        PARENT[:-1],
        PARENT.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        PARENT.upper(),
    ],
)
def test_invalid_traceparent_is_ignored(text: str) -> None:
    assert trace_context.parse(text) is None


def test_trace_scope_continues_parent_trace_or_starts_new_one() -> None:
    assert trace_context.current_traceparent() == ""
    with trace_context.trace_scope(PARENT) as child:
        assert child.trace_id == "0af7651916cd43dd8448eb211c80319c"
        assert child.span_id != "b7ad6b7169203331"
        assert trace_context.parse(trace_context.current_traceparent()) == child
    with trace_context.trace_scope("nonsense") as new:
        assert re.fullmatch("[0-9a-f]{32}", new.trace_id)
    assert trace_context.current_trace() is None


def test_batch_of_several_traces_has_no_common_traceparent() -> None:
    assert trace_context.common_traceparent([PARENT, PARENT]) == PARENT
    assert trace_context.common_traceparent([PARENT, ""]) == ""
    assert trace_context.common_traceparent([]) == ""


def test_events_and_log_lines_carry_the_trace() -> None:
    with trace_context.trace_scope(PARENT) as trace:
        event = OutboundEvent.create(MESSAGE_STATUS, "k", "acme", v1.MessageStatusesUpdated())
        assert decode(event.encode()).traceparent == str(trace)
        line = json.loads(JsonFormatter("s").format(logging.makeLogRecord({"msg": "x"})))
    assert line["trace_id"] == trace.trace_id


async def test_request_runs_in_callers_trace() -> None:
    router, seen = APIRouter(), []

    @router.get("/x")
    async def record_trace() -> None:
        seen.append(trace_context.current_trace())

    transport = httpx.ASGITransport(create_app("x", Health(), routers=[router]))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        await client.get("/x", headers={"traceparent": PARENT})
        await client.get("/x")
    assert seen[0].trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert seen[1].trace_id != seen[0].trace_id
