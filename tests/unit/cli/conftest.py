"""Shared by the tests of the command line and of the layer it deploys last."""

from __future__ import annotations

import pytest

from infra.config import Layer, StackSettings
from infra.credentials import complete
from tests.unit.data.data_recording import Recording, record

DIGEST = "sha256:" + "0" * 64


@pytest.fixture(scope="session")
def service_settings() -> StackSettings:
    return StackSettings(
        environment="local",
        layer=Layer.SERVICES,
        images={"services": f"10.95.0.1:5000/esq/services@{DIGEST}"},
        credentials=complete(),
    )


@pytest.fixture(scope="session")
def services_layer(service_settings: StackSettings) -> Recording:
    return record("services", service_settings)
