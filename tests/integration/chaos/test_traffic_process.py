"""The traffic process that ends too early: the experiment is told why, and nothing of it stays behind."""

from __future__ import annotations

import psutil
import pytest

from chaos.traffic.client import Endpoints
from chaos.traffic.process import Traffic, TrafficFailedError
from tests.controllers.zones import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

NOWHERE = Endpoints(
    run="test",
    authority="",
    edge="https://127.0.0.1:1",
    edge_authority="",
    token_key="",
    postgres={},
    kafka={},
    redis={},
    objects={},
)
NAMES = "10.99.99.11"
"""Nobody is asked there, as there are no clients."""


def test_what_is_asked_of_a_killed_process_fails_and_nothing_is_left() -> None:
    others = set(psutil.Process().children())
    with Traffic([], NOWHERE, [NAMES]) as traffic:
        processes = set(psutil.Process().children()) - others
        for each in processes:
            each.kill()
        eventually(lambda: all(each.status() == psutil.STATUS_ZOMBIE for each in processes), 10)
        with pytest.raises(TrafficFailedError, match="has ended"):
            traffic.result()
    assert not any(each.is_running() for each in processes)


def test_it_goes_before_others_until_it_is_told_to_stop() -> None:
    others = set(psutil.Process().children())
    with Traffic([], NOWHERE, [NAMES]) as traffic:
        assert {each.nice() for each in set(psutil.Process().children()) - others} == {-10}
        assert traffic.result() == {"lanes": {}, "history": {}}
