"""Spans that the SDK of OpenTelemetry sends are found by their trace id."""

from __future__ import annotations

import os
import signal
import ssl
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from infra.certificate_authority import create_ca, issue_certificate
from infra.components.observability.pod_programs import https_server, span_receiver
from infra.components.observability.spans import parse_span
from tests.servers.process import Server, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.contract.observability.conftest import Layer

pytestmark = [
    pytest.mark.contract,
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]

PASSWORD = "password-of-the-layer"


@pytest.fixture
def receiver(layer: Layer, tmp_path: Path) -> Iterator[str]:
    """A receiver that stores in the layer's VictoriaLogs; its URL."""
    authority = create_ca()
    pair = issue_certificate(authority, "traces", ("localhost",))
    files = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": authority.certificate}
    for name, text in {**files, "password": PASSWORD}.items():
        (tmp_path / name).write_text(text)
    port = free_port()
    server = Server("span receiver", tmp_path / "log")
    settings = {"ESQ_FILES": str(tmp_path), "ESQ_PORT": str(port), "ESQ_LOGS_URL": layer.logs.url}
    server.launch([sys.executable, "-m", span_receiver.__name__], env={**os.environ, **settings})
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    url = f"https://localhost:{port}"

    def is_ready() -> bool:
        try:
            return httpx.get(f"{url}/health", verify=context, timeout=2.0).is_success
        except httpx.HTTPError:
            return False

    server.wait_until_ready(is_ready, 30.0)
    yield url
    server.send_signal(signal.SIGTERM)


def exporter(url: str, folder: Path, password: str = PASSWORD) -> OTLPSpanExporter:
    session = requests.Session()
    session.trust_env = False  # a variable may name other certificate authorities
    return OTLPSpanExporter(
        session=session,
        endpoint=f"{url}/v1/traces",
        certificate_file=str(folder / "ca.crt"),
        headers={"Authorization": https_server.login(password)},
        timeout=5,
    )


def test_spans_of_a_trace_are_found_with_parent_status_attributes_and_links(
    receiver: str, layer: Layer, tmp_path: Path
) -> None:
    resource = Resource({"service.name": "whatsapp-dispatcher", "cloud.availability_zone": "zone-a"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter(receiver, tmp_path)))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("lease messages") as other:
        pass
    with tracer.start_as_current_span("POST /messages", kind=SpanKind.SERVER) as root:
        links = [Link(other.get_span_context())]
        with tracer.start_as_current_span("send message", links=links, attributes={"n": 3}) as span:
            span.set_status(Status(StatusCode.ERROR, "timeout"))
    provider.shutdown()
    httpx.get(f"{layer.logs.url}/internal/force_flush", timeout=10.0).raise_for_status()
    trace_id = f"{root.get_span_context().trace_id:032x}"
    first, second = layer.client.trace(trace_id)
    assert (first.name, first.parent_id, first.status) == ("POST /messages", "", "unset")
    assert (second.name, second.parent_id, second.status) == ("send message", first.span_id, "error")
    assert second.service == "whatsapp-dispatcher"
    assert second.attributes["n"] == "3"
    assert second.attributes["cloud.availability_zone"] == "zone-a"
    assert second.links == (f"{other.get_span_context().trace_id:032x}",)
    assert 0 < second.seconds <= first.seconds < 30
    assert layer.client.trace("0" * 32) == []


def test_spans_without_the_password_are_rejected(receiver: str, layer: Layer, tmp_path: Path) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter(receiver, tmp_path, "another")))
    with provider.get_tracer("test").start_as_current_span("rejected") as span:
        pass
    provider.shutdown()
    assert layer.client.trace(f"{span.get_span_context().trace_id:032x}") == []


def test_entry_of_another_kind_is_no_span() -> None:
    with pytest.raises(KeyError):
        parse_span({"_msg": "a log line", "trace_id": "1"})
