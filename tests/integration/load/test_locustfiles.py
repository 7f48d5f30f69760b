"""Plain Locust with the open loop: headless and with its page, and planted generators that do not keep up."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from loadtests.merge import merge_results
from loadtests.protocol import GeneratorMessage
from loadtests.scenarios import FOLDER, SCENARIOS, locustfile
from loadtests.verdict import generator_problems
from tests.integration.load.servers import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtests.results import Requests

pytestmark = pytest.mark.integration
LOCUST = (sys.executable, "-P", "-m", "locust")
TIMEOUT_SECONDS = 120
WORKER_EXIT_SECONDS = 30
"""Less than Locust's 60 s."""
MAX_OPEN, RATE, SECONDS = 5, 20, 2
PLANTED = """
import time
import gevent
from locust import task
from loadtests.generator import scheduler
from loadtests.generator.open_loop import OpenLoopMixin
from loadtests.generator.shape import OpenLoopShape

scheduler.MAX_OPEN_ARRIVALS, scheduler.DRAIN_SECONDS = {max_open}, 0.5

class PlantedUser(OpenLoopMixin):
    @task
    def run_planted_task(self):
        {task}
"""


def locust(
    *options: str, check: bool = True, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Locust without its page to its end."""
    argv = [*LOCUST, "--headless", "--only-summary", *options]
    return subprocess.run(
        argv, cwd=FOLDER.parent, check=check, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, env=env
    )


def run_planted(tmp_path: Path, task: str) -> tuple[Requests, dict[str, Any], int]:
    """Return the results of a planted task by the open loop and by Locust's own statistics, and the exit code."""
    file, stats = tmp_path / "planted.py", tmp_path / "stats"
    file.write_text(PLANTED.format(max_open=MAX_OPEN, task=task))
    run = locust(
        *("-f", str(file), "--rate", str(RATE), "--duration", str(SECONDS), "--spacing", "even"),
        *("--json-messages", "--skip-log-setup", "--json-file", str(stats)),
        check=False,
    )
    lines = [GeneratorMessage.model_validate_json(line) for line in run.stdout.splitlines()]
    [results] = [message.results for message in lines if message.results is not None]
    entries = json.loads(stats.with_suffix(".json").read_text())
    return merge_results(results), {entry["method"]: entry for entry in entries}, run.returncode


def test_arrivals_without_an_answer_are_in_the_percentiles_of_both(tmp_path: Path) -> None:
    requests, stats, exit_code = run_planted(tmp_path, "gevent.sleep(60)")
    offered = RATE * SECONDS
    assert (requests.offered, requests.unresolved, requests.dropped) == (
        offered,
        MAX_OPEN,
        offered - MAX_OPEN,
    )
    assert requests.all.count == offered
    assert requests.all.percentiles[0] > SECONDS
    assert (stats["UNRESOLVED"]["num_requests"], stats["DROPPED"]["num_failures"]) == (
        MAX_OPEN,
        offered - MAX_OPEN,
    )
    assert stats["UNRESOLVED"]["min_response_time"] > 1000 * (SECONDS - 1)
    assert exit_code == 1


def test_late_arrivals_make_the_run_invalid(tmp_path: Path) -> None:
    requests, _, exit_code = run_planted(
        tmp_path, "end = time.monotonic() + 0.2\n        while time.monotonic() < end: pass"
    )
    assert requests.generator_lagged
    assert requests.max_late_seconds > 1
    assert exit_code == 1


def test_errors_of_tasks_are_errors_of_the_generator(tmp_path: Path) -> None:
    requests, _, exit_code = run_planted(tmp_path, "self.arrival.nothing")
    assert requests.unresolved == requests.offered
    assert "has no attribute 'nothing'" in generator_problems(requests)[0]
    assert exit_code == 1


def test_second_request_of_a_task_is_an_error_of_the_generator(tmp_path: Path) -> None:
    event = "self.request_event.fire(request_type='X', name='x', response_time=0, response_length=0, exception=None)"
    requests, stats, _ = run_planted(tmp_path, f"{event}; {event}")
    assert requests.accepted == requests.offered
    assert stats["X"]["num_requests"] == 2 * requests.offered
    assert "`x` is not the only request of its task" in generator_problems(requests)[0]


def test_statistics_of_locust_count_from_the_planned_instant(tmp_path: Path) -> None:
    """The client's own clock starts only when the task has waited."""
    event = "self.request_event.fire(request_type='X', name='x', response_time=0, response_length=0, exception=None)"
    requests, stats, exit_code = run_planted(tmp_path, f"gevent.sleep(0.2); {event}")
    assert stats["X"]["min_response_time"] >= 200
    assert min(requests.by_name["x"].percentiles) >= 0.2
    assert exit_code == int(requests.generator_lagged)


def test_master_and_workers_of_plain_locust(tmp_path: Path) -> None:
    stats = tmp_path / "stats"
    with running_server() as server:
        argv = ("-f", str(FOLDER / "self_test.py"), "--host", server.url, "--processes", "2", "--seed", "7")
        output = locust(*argv, "--duration", "4", "--json-file", str(stats)).stderr
    [entry] = json.loads(stats.with_suffix(".json").read_text())
    assert f"{entry['num_requests']} arrivals offered, {entry['num_requests']} accepted" in output


def test_workers_end_with_a_killed_master() -> None:
    """Without a master's heartbeats, Locust's workers would run on for a minute."""
    with running_server() as server:
        argv = (
            "-f",
            str(FOLDER / "self_test.py"),
            "--host",
            server.url,
            "--processes",
            "2",
            "--duration",
            "90",
        )
        with subprocess.Popen([*LOCUST, "--headless", "--only-summary", *argv], cwd=FOLDER.parent) as process:
            master = psutil.Process(process.pid)
            wait_for(lambda: len(master.children()) == 2)
            wait_for(lambda: all(len(worker.net_connections()) > 1 for worker in master.children()))
            workers = master.children()
            master.kill()
        _, alive = psutil.wait_procs(workers, WORKER_EXIT_SECONDS)
        assert alive == []


def test_run_ends_when_nobody_reads_its_messages() -> None:
    with running_server() as server:
        argv = (
            "-f",
            str(FOLDER / "self_test.py"),
            "--host",
            server.url,
            "--duration",
            "600",
            "--json-messages",
        )
        with subprocess.Popen(
            [*LOCUST, "--headless", "--skip-log-setup", *argv],
            cwd=FOLDER.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.close()
            process.wait(TIMEOUT_SECONDS)


@contextmanager
def locust_page(*options: str) -> Iterator[httpx.Client]:
    """Run Locust with its page on a port of loopback."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    argv = [*LOCUST, "--web-host", "127.0.0.1", "--web-port", str(port), *options]
    with subprocess.Popen(
        argv, cwd=FOLDER.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                wait_for(lambda: client.get("/").is_success)
                yield client
        finally:
            process.terminate()
            process.wait(TIMEOUT_SECONDS)


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            if condition():
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, condition
        time.sleep(0.1)  # polling interval


def has_ended(page: httpx.Client, requests: int) -> bool:
    """Return whether a run has ended with so many requests; on a busy machine, some may have failed."""
    report = page.get("/stats/requests").json()
    count = sum(row["num_requests"] for row in report["stats"] if row["name"] != "Aggregated")
    return bool(report["state"] == "stopped" and count == requests)


def test_page_of_locust_runs_the_open_loop_again_and_again() -> None:
    with (
        running_server() as server,
        locust_page("-f", str(FOLDER / "self_test.py"), "--host", server.url) as page,
    ):
        for rate in (5, 15):
            form = {"rate": rate, "duration": 2, "spacing": "even"}
            assert page.post("/swarm", data=form).json()["success"]
            wait_for(partial(has_ended, page, requests=2 * rate))


@pytest.mark.parametrize(
    ("options", "environment", "exit_code", "reason"),
    [
        (
            ("-f", "loadtests/self_test.py", "--host", "http://127.0.0.1:1", "--rate", "0"),
            {},
            2,
            "greater than 0",
        ),
        (("-f", "loadtests/api.py"), {"ESQ_LOAD_CONFIG": "/none"}, 1, "No such file"),
        (
            ("-f", "loadtests/api.py", "--host", "http://127.0.0.1:1", "--duration", "1"),
            {},
            1,
            "names no access",
        ),
    ],
)
def test_wrong_use_ends_with_the_reason(
    options: tuple[str, ...], environment: dict[str, str], exit_code: int, reason: str
) -> None:
    run = locust(*options, check=False, env={**os.environ, **environment})
    assert reason in run.stderr
    assert run.returncode == exit_code


def test_every_scenario_has_a_locustfile() -> None:
    for scenario in SCENARIOS:
        listed = subprocess.run(
            [*LOCUST, "-f", str(locustfile(scenario.name)), "--list"],
            cwd=FOLDER.parent,
            check=True,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
        assert len(listed.stdout.split()) == 3, "the heading and one class"  # "Available Users:" and its name
