"""Locust's master and workers in a cluster as seen by `esq load`; the counterpart of `GeneratorPool`."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from infra.errors import EsqError
from loadtests.in_cluster.manifests import START_TIMEOUT_SECONDS, ClusterRun
from loadtests.in_cluster.master_clock import MasterClock
from loadtests.master_messages import GeneratorFailedError, MasterMessages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadtests.clock_offset import ClockOffset
    from loadtests.in_cluster.master_clock import RemoteClock
    from loadtests.protocol import GeneratorResult, LoadProfile, LoadTarget, Progress

RECONNECT_SECONDS = 1.0
PODS_INTERVAL_SECONDS = 5.0
FATAL_REASONS = (
    *("ImagePullBackOff", "InvalidImageName", "CreateContainerError", "RunContainerError"),
    "exit code",
)
"""In the problems of pods: a run that has not started will not start."""
EXIT_TIMEOUT_SECONDS = 10.0
MAX_ERROR_LINES = 40
CLOCK_ERROR = "the clock offset between the master and this machine is unknown or too uncertain"
_LOG_ERRORS = (ApiException, EsqError, HTTPError, OSError)


class Cluster(Protocol):
    """The cluster of a run; see `loadtests.in_cluster.cluster.LoadCluster`."""

    def create(self, run: ClusterRun, target: LoadTarget, ca: str | None) -> None:
        """Create the objects of a run.

        Args:
            run: the run.
            target: where requests are sent.
            ca: PEM of the CA of the edge; None for the CAs of the image.
        """
        ...

    def delete(self, name: str) -> None:
        """Delete a run."""
        ...

    def replace_config(self, run: ClusterRun, target: LoadTarget, ca: str | None) -> None:
        """Replace the configuration of a run.

        Args:
            run: the run.
            target: where requests are sent.
            ca: PEM of the CA of the edge; None for the CAs of the image.
        """
        ...

    def follow_log(self, run: ClusterRun) -> Iterator[str]:
        """Yield the lines of the master's log until it ends."""
        ...

    def has_ended(self, run: ClusterRun) -> bool:
        """Return whether the master runs no more."""
        ...

    def problems(self, run: ClusterRun) -> list[str]:
        """Return why pods do not run."""
        ...

    def open_clock(self, run: ClusterRun) -> RemoteClock:
        """Start a program that answers with the clock of the master's machine."""
        ...


class ClusterGenerators:
    """Master and workers in a cluster that share a load profile; they are deleted at the end of the block.

    Args:
        cluster: the cluster.
        image: image of the load generators.
        scenario: name of the scenario.
        profile: load profile of all workers together, in arrivals.
        target: where requests are sent; its CA file is one of this machine.
        count: number of workers.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - one per property of a run
        self,
        cluster: Cluster,
        image: str,
        scenario: str,
        profile: LoadProfile,
        target: LoadTarget,
        count: int,
    ) -> None:
        name = f"esq-load-{uuid.uuid4().hex[:8]}"
        self.run_in_cluster = ClusterRun(name, image, scenario, profile, count)
        self._cluster = cluster
        self._target = target
        self._ca = Path(target.ca_file).read_text(encoding="utf-8") if target.ca_file else None
        self._messages = MasterMessages(profile, START_TIMEOUT_SECONDS)
        self._clock = MasterClock(lambda: cluster.open_clock(self.run_in_cluster))
        self._errors: deque[str] = deque(maxlen=MAX_ERROR_LINES)
        self._next_check_at = 0.0
        self._has_left = threading.Event()
        self._reader = threading.Thread(target=self._follow, name="load log", daemon=True)

    @property
    def start(self) -> float:
        """Start of the load profile on the monotonic clock of this machine, seconds; 0 before it."""
        start, offset = self._messages.start, self._clock.offset
        return start - offset.seconds if start and offset else start and self._messages.start_here

    def __enter__(self) -> Self:
        """Create the objects of the run."""
        try:
            self._cluster.create(self.run_in_cluster, self._target, self._ca)
        except BaseException:
            self._delete()
            raise
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the objects of the run, whether it has finished or not."""
        self._has_left.set()
        self._clock.close()
        self._delete()
        self._reader.join(EXIT_TIMEOUT_SECONDS)

    def run(self, on_progress: Callable[[Progress], None]) -> list[GeneratorResult]:
        """Run the load profile to its end.

        Args:
            on_progress: called with the progress of all workers together.

        Returns:
            The result of each worker, with the instants of this machine's clock.

        Raises:
            GeneratorFailedError: the pods did not start, or Locust failed.
        """

        def measure_clock(progress: Progress) -> None:
            self._clock.measure()
            on_progress(progress)

        results = self._messages.wait_for_results(measure_clock, self._require_pods, self._failure)
        return [_on_this_clock(result, self._clock.offset) for result in results]

    def replace_tokens(self, tokens: dict[str, str]) -> None:
        """Send further requests with other bearer tokens.

        Args:
            tokens: bearer token of each company.
        """
        self._target = self._target.model_copy(update={"tokens": tokens})
        self._cluster.replace_config(self.run_in_cluster, self._target, self._ca)

    def _require_pods(self) -> None:
        """Require that the pods of a run that has not started may still start.

        Raises:
            GeneratorFailedError: one of them cannot, or has ended.
        """
        now = time.monotonic()
        if self._messages.start or now < self._next_check_at:
            return
        self._next_check_at = now + PODS_INTERVAL_SECONDS
        try:
            problems = self._cluster.problems(self.run_in_cluster)
        except EsqError:  # an outage: the next check tries it
            return
        if any(reason in problem for problem in problems for reason in FATAL_REASONS):
            raise self._failure("a pod cannot start")

    def _delete(self) -> None:
        # What cannot be deleted now ends by its own limit, and `esq load stop` names it.
        with suppress(EsqError):
            self._cluster.delete(self.run_in_cluster.name)

    def _follow(self) -> None:
        """Read the log until the master has ended; after an interruption, from its start again."""
        run, known_lines = self.run_in_cluster, 0
        while not self._has_left.is_set():
            try:
                has_ended = self._cluster.has_ended(run)  # before the log is read: then it is complete
                for number, line in enumerate(self._cluster.follow_log(run)):
                    if number >= known_lines:
                        known_lines = number + 1
                        self._add(line)
            except _LOG_ERRORS:
                has_ended = False
            if has_ended:
                break
            self._has_left.wait(RECONNECT_SECONDS)
        self._messages.end()

    def _add(self, line: str) -> None:
        """Add a message; other lines of the log are kept for an error."""
        try:
            self._messages.add(line)
        except ValueError:
            self._errors.append(line)

    def _failure(self, reason: str) -> GeneratorFailedError:
        try:
            problems = self._cluster.problems(self.run_in_cluster)
        except EsqError as error:
            problems = [error.message]
        return GeneratorFailedError(
            "; ".join([f"Locust failed in the cluster: {reason}", *problems]),
            location=f"Job {self.run_in_cluster.name}",
            remedy="Correct what the message names, and run the load test again.",
            detail="\n".join(self._errors),
        )


def _on_this_clock(result: GeneratorResult, offset: ClockOffset | None) -> GeneratorResult:
    """Return a result with the instants of this machine's clock.

    Args:
        result: a result with instants of the master's clock.
        offset: the master's clock minus that of this machine; None if it is unknown.
    """
    if not result.created:
        return result
    if offset is None or not offset.is_usable:
        errors = {**result.generator_errors, CLOCK_ERROR: 1}
        return result.model_copy(update={"generator_errors": errors})
    created = [
        campaign.model_copy(update={"due_at": campaign.due_at - offset.seconds})
        for campaign in result.created
    ]
    return result.model_copy(update={"created": created})
