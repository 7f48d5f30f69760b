"""Requests are measured by route and status class, whatever their path; probes and scrapes are not."""

from __future__ import annotations

import httpx
import pytest
from fastapi import APIRouter

from services.kit.errors import ConflictError
from services.kit.http.app import create_app
from services.kit.observability.health import Health
from tests.metrics import metric

COUNT = "esq_http_request_duration_seconds_count"
router = APIRouter()


@router.get("/things/{name}")
async def get_thing(name: str) -> dict[str, str]:
    if name == "taken":
        raise ConflictError("taken")
    if name == "broken":
        raise RuntimeError("broken")
    return {"name": name}


@pytest.fixture
def client() -> httpx.AsyncClient:
    transport = httpx.ASGITransport(
        create_app("test", Health(), routers=[router]), raise_app_exceptions=False
    )
    return httpx.AsyncClient(transport=transport, base_url="http://test")


@pytest.mark.parametrize(
    ("path", "route", "status_class"),
    [
        ("/things/one", "/things/{name}", "2xx"),
        ("/things/taken", "/things/{name}", "4xx"),
        ("/things/broken", "/things/{name}", "5xx"),
        ("/nothing/here", "unknown", "4xx"),
    ],
)
async def test_request_is_measured_by_its_route(
    client: httpx.AsyncClient, path: str, route: str, status_class: str
) -> None:
    labels = {"method": "GET", "route": route, "status_class": status_class}
    before = metric(COUNT, **labels) or 0

    await client.get(path)

    assert metric(COUNT, **labels) == before + 1
    assert metric("esq_http_in_flight_requests") == 0


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
async def test_probes_and_scrapes_are_not_measured(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)

    assert response.status_code == 200
    assert path not in (await client.get("/metrics")).text
