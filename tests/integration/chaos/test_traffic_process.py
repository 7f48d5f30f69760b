"""The traffic process that ends too early: the experiment is told why, and nothing of it stays behind."""

from __future__ import annotations

import subprocess
import sys

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


def test_nothing_is_left_of_it_when_its_experiment_is_killed() -> None:
    begin = (
        f"Traffic([], Endpoints.model_validate_json({NOWHERE.model_dump_json()!r}), [{NAMES!r}]).__enter__()"
    )
    imports = "from chaos.traffic.client import Endpoints; from chaos.traffic.process import Traffic; "
    script = f"import time; {imports}held = {begin}; print('ready', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as experiment:
        assert experiment.stdout is not None
        assert experiment.stdout.readline() == "ready\n"
        processes = psutil.Process(experiment.pid).children()
        experiment.kill()
    assert len(processes) == 2
    eventually(lambda: not any(each.is_running() for each in processes), 10)


def test_it_goes_before_others_until_it_is_told_to_stop() -> None:
    others = set(psutil.Process().children())
    with Traffic([], NOWHERE, [NAMES]) as traffic:
        assert {each.nice() for each in set(psutil.Process().children()) - others} == {-10}
        assert traffic.result() == {"lanes": {}, "history": {}}
