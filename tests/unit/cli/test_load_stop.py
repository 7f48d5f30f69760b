"""One load test at a time, and its end from another terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.actions.load import stop, token_renewal
from cli.actions.load.active_run import active_load, exclusive_load
from cli.actions.load.token_renewal import TokenRenewal
from cli.environment import Environment, load_environment
from infra.errors import EsqError, UnreachableError
from infra.progress import RecordedStep, RecordingProgress

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[3]
TIMEOUT_SECONDS = 60
LOAD = """
import signal, sys, time
from cli.actions.load.active_run import exclusive_load
from cli.environment import load_environment
signal.signal(signal.SIGINT, getattr(signal, sys.argv[1]))
with exclusive_load(load_environment("local"), "api"):
    print("runs", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environment:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return load_environment("local")


@pytest.fixture
def load(
    environment: Environment,  # noqa: ARG001 - sets the folder
    request: pytest.FixtureRequest,
) -> Iterator[subprocess.Popen[str]]:
    reaction = getattr(request, "param", "default_int_handler")
    with subprocess.Popen(
        [sys.executable, "-c", LOAD, reaction],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        yield process
        process.kill()


def test_second_load_test_is_refused_with_the_way_to_end_the_first(
    environment: Environment, load: subprocess.Popen[str]
) -> None:
    with pytest.raises(EsqError) as caught, exclusive_load(environment, "million"):
        pass
    assert f"`api` (process {load.pid}) since 20" in caught.value.message
    assert "esq load stop local" in caught.value.remedy


def test_load_test_of_this_machine_is_interrupted(
    environment: Environment, load: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "open_deployed_target", lambda *_: RecordedTarget())
    monkeypatch.setattr(stop, "delete_runs", lambda kubeconfig, _: [f"a run of {kubeconfig}"])
    ended = stop.stop_load(environment, RecordingProgress())
    assert [ended[0][:5], ended[1]] == ["`api`", "a run of kubeconfig"]
    assert load.wait(TIMEOUT_SECONDS) != 0
    assert active_load(environment) is None
    with exclusive_load(environment, "api"):
        assert active_load(environment) is not None
    assert active_load(environment) is None


@pytest.mark.parametrize("load", ["SIG_IGN"], indirect=True)
def test_load_test_that_does_not_end_is_named(environment: Environment, load: subprocess.Popen[str]) -> None:
    active = active_load(environment)
    assert active is not None
    with pytest.raises(EsqError, match="did not end within") as caught:
        stop.interrupt(active, RecordedStep("stop"), timeout_seconds=0.1)
    assert f"kill -KILL {load.pid}" in caught.value.remedy


class RecordedTarget:
    """A deployment target of which only the kubeconfig is used."""

    kubeconfig = "kubeconfig"


def test_tokens_are_renewed_once_per_key_and_again_after_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_renewal, "INTERVAL_SECONDS", 0.0)
    keys = iter(["first", "outage", "second", "second", "third"])
    renewed: list[str] = []

    def read_key() -> str:
        key = next(keys, "third")
        if key == "outage":
            raise UnreachableError("the API server does not answer")
        return key

    with TokenRenewal("first", read_key, renewed.append):
        while renewed[-1:] != ["third"]:
            pass
    assert renewed == ["second", "third"]
