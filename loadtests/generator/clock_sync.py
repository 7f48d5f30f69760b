"""Measurement of the clock offset between a worker and the master, over Locust's own messages."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

import gevent
from locust.runners import LocalRunner

from loadtests.clock_offset import SAME_CLOCK, ClockOffset, RoundTrip, estimate_offset

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.rpc import Message
    from locust.runners import MasterRunner, WorkerRunner

REQUEST, RESPONSE = "clock_request", "clock_response"
FIRST_ROUND_TRIPS = 8
FIRST_INTERVAL_SECONDS = 0.05
INTERVAL_SECONDS = 1.0
RECENT_ROUND_TRIPS = 16
"""The estimate is of the last ones: clocks drift."""
TIMEOUT_SECONDS = 5.0


def answer_clock_requests(master: MasterRunner) -> None:
    """Answer each request with the master's monotonic time."""

    def answer(msg: Message, **_: object) -> None:
        data = {"sent": msg.data["sent"], "remote": time.monotonic()}
        master.send_message(RESPONSE, data, client_id=msg.node_id)

    master.register_message(REQUEST, answer)


class ClockSync:
    """Estimates the master's clock, in a worker.

    Args:
        runner: runner of this process; if it is the only one, both clocks are the same.
    """

    def __init__(self, runner: WorkerRunner | LocalRunner) -> None:
        self._runner = runner
        self._is_alone = isinstance(runner, LocalRunner)
        self._round_trips: deque[RoundTrip] = deque(maxlen=RECENT_ROUND_TRIPS)
        if not self._is_alone:
            runner.register_message(RESPONSE, self._receive)
            runner.greenlet.spawn(self._send_requests)

    def estimate(self) -> ClockOffset | None:
        """Return the current offset of the master's clock; None if the master has never answered."""
        return SAME_CLOCK if self._is_alone else estimate_offset(self._round_trips)

    def wait_for_estimate(self) -> ClockOffset | None:
        """Return the offset as soon as the first requests are answered, or what there is at the timeout."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (
            not self._is_alone and len(self._round_trips) < FIRST_ROUND_TRIPS and time.monotonic() < deadline
        ):
            gevent.sleep(FIRST_INTERVAL_SECONDS)
        return self.estimate()

    def _send_requests(self) -> None:
        while True:
            self._runner.send_message(REQUEST, {"sent": time.monotonic()})
            is_first = len(self._round_trips) < FIRST_ROUND_TRIPS
            gevent.sleep(FIRST_INTERVAL_SECONDS if is_first else INTERVAL_SECONDS)

    def _receive(self, environment: Environment, msg: Message) -> None:  # noqa: ARG002 - Locust passes both
        self._round_trips.append(RoundTrip(msg.data["sent"], msg.data["remote"], time.monotonic()))
