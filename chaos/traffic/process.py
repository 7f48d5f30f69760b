"""The traffic process as the experiment controls it: start, read, stop, result.

In front of the embedded cluster, it runs in its own mount namespace, in which names are resolved by the DNS
servers of the zones, so that every client library reaches the services under the names in their certificates.
In front of another cluster, only the client `edge` reaches its service, under the public address.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from infra.errors import EsqError
from infra.subprocesses import HIGH_PRIORITY_PREFIX, PYTHON_MODULE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from chaos.error_rate import Attempts
    from chaos.traffic.client import Endpoints

START_TIMEOUT_SECONDS = 90.0
RESULT_TIMEOUT_SECONDS = 240.0
INTERRUPT_TIMEOUT_SECONDS = 30.0
"""For open attempts to end: a person waits for it."""
STOP_TIMEOUT_SECONDS = 60.0
MAX_REPORT_AGE_SECONDS = 10.0
"""The process reports twice a second. Without a report for this long it measures nothing."""
_NO_SYSTEM_CAS = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
"""The platform has its own CA. The Redis client would load all CAs of the host for each connection: 70 ms."""
_RESOLVER_OPTIONS = "options timeout:1 attempts:3"
_BIND_RESOLV_CONF = 'mount --bind "$0" "$(readlink -f /etc/resolv.conf)" && exec "$@"'


class TrafficFailedError(EsqError):
    """The traffic process exited or did not respond in time."""


class Traffic:
    """Context manager that runs traffic clients.

    Args:
        clients: names of the clients, for example `postgres`, `edge`.
        endpoints: endpoints and credentials.
        nameservers: addresses of the DNS servers of the zones; none for the resolver and CAs of this machine.

    Attributes:
        clients: names of the clients.
        started_at: first planned time of an attempt (seconds, monotonic clock of the process).
        attempts: attempts of each stream since the start; none of streams without own attempts.
    """

    def __init__(self, clients: Sequence[str], endpoints: Endpoints, nameservers: Sequence[str]) -> None:
        self._report: tuple[float, dict[str, float]] = (time.monotonic(), {})
        self._is_stopping = False
        self.attempts: dict[str, Attempts] = {}
        self.clients = tuple(clients)
        self.started_at = 0.0
        self._request = {"clients": list(clients), "endpoints": endpoints.model_dump()}
        self._nameservers = nameservers
        self._messages: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._folder = tempfile.TemporaryDirectory(prefix="esq-traffic-")
        self._errors = Path(self._folder.name) / "errors"

    def __enter__(self) -> Self:
        """Start the process, and return when every client has reached its service.

        Raises:
            TrafficFailedError: a client did not reach its service.
        """
        # On a host short of CPU, the delay of the client itself would be measured: both processes get CPU
        # priority, each in its own session, because they must not change the priority of the current one.
        with self._errors.open("w") as errors:
            self._dns = self._start_dns(errors) if self._nameservers else None
            self._process = subprocess.Popen(
                self._program(),
                env=os.environ | _NO_SYSTEM_CAS if self._nameservers else None,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        threading.Thread(target=self._read_lines, name="traffic", daemon=True).start()
        self._send(json.dumps(self._request))
        try:
            self.started_at = float(self._wait_for("ready", START_TIMEOUT_SECONDS))
        except BaseException:
            self._stop()
            raise
        return self

    def _program(self) -> Sequence[str]:
        """Return the command of the process."""
        return [*HIGH_PRIORITY_PREFIX, *self._enter_network(), *PYTHON_MODULE, "chaos.traffic"]

    @property
    def _listen_address(self) -> str:
        """The suffix in the loopback network is that of the zones, so that clusters do not collide."""
        return f"127.{self._nameservers[0].split('.', 1)[1]}"

    def _start_dns(self, errors: IO[str]) -> subprocess.Popen[bytes]:
        program = ("chaos.traffic.dns_fanout", self._listen_address, *self._nameservers)
        return subprocess.Popen(
            [*HIGH_PRIORITY_PREFIX, *PYTHON_MODULE, *program],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )

    def _enter_network(self) -> tuple[str, ...]:
        """Return the prefix of a command in which names are resolved by the DNS servers of the zones."""
        if not self._nameservers:
            return ()
        resolver = Path(self._folder.name) / "resolv.conf"
        resolver.write_text(f"nameserver {self._listen_address}\n{_RESOLVER_OPTIONS}\n")
        resolver.chmod(0o644)
        unshare = ("unshare", "--mount", "--propagation", "private")
        return (*unshare, "sh", "-c", _BIND_RESOLV_CONF, str(resolver))

    def __exit__(self, *_: object) -> None:
        """Stop the process, with or without a result."""
        self._stop()

    @property
    def silence(self) -> dict[str, float]:
        """Seconds since the last acknowledgement of each stream; they grow while the process is silent."""
        reported_at, silence = self._report
        age = time.monotonic() - reported_at
        return {name: seconds + age for name, seconds in silence.items()}

    @property
    def failure(self) -> str:
        """Reason why nothing is measured; empty while the clients run, and after they were stopped."""
        if self._is_stopping:
            return ""
        if self._process.poll() is not None:
            return "the traffic process has exited"
        if self._dns is not None and self._dns.poll() is not None:
            return "the name resolution of the traffic process has exited"
        age = time.monotonic() - self._report[0]
        return f"the traffic process has not reported for {age:.0f} s" if age > MAX_REPORT_AGE_SECONDS else ""

    def use_token_key(self, key: str) -> None:
        """Sign the bearer tokens of new attempts with this key."""
        self._send(json.dumps({"token_key": key}))

    def result(self, *, reads_stored: bool = True) -> dict[str, Any]:
        """Stop the traffic, and return the logs of all streams, the stored writes and problems.

        Args:
            reads_stored: whether to read the stored writes, which may take minutes after a fault.

        Raises:
            TrafficFailedError: there is no result in time.
        """
        self._is_stopping = True
        self._send("" if reads_stored else "interrupt")
        seconds = RESULT_TIMEOUT_SECONDS if reads_stored else INTERRUPT_TIMEOUT_SECONDS
        result: dict[str, Any] = self._wait_for("result", seconds)
        return result

    def _send(self, line: str) -> None:
        if self._process.stdin is None:
            raise TypeError("the process was started with a pipe")
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._error("it has exited") from error

    def _read_lines(self) -> None:
        for line in self._process.stdout or ():
            for kind, value in json.loads(line).items():
                if kind == "silence":
                    self._report = (time.monotonic(), value)
                elif kind == "attempts":
                    self.attempts = {stream: (acked, failed) for stream, (acked, failed) in value.items()}
                else:
                    self._report = (time.monotonic(), self._report[1])
                    self._messages.put((kind, value))
        self._messages.put(("exited", None))

    def _wait_for(self, kind: str, seconds: float) -> Any:  # noqa: ANN401 - JSON from the process
        deadline = time.monotonic() + seconds
        while True:
            try:
                received, value = self._messages.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise self._error(f"no `{kind}` within {seconds:g} s") from None
            if received == kind:
                return value
            if received == "exited":
                raise self._error("it has exited")

    def _error(self, reason: str) -> TrafficFailedError:
        return TrafficFailedError(
            f"the traffic process failed: {reason}",
            location="chaos.traffic",
            remedy="See `esq status ENV`: traffic starts only if every service responds.",
            detail=self._errors.read_text()[-2000:],
        )

    def _stop(self) -> None:
        self._is_stopping = True
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):  # the process has exited and needs no further input
                self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self._dns is not None:
            self._dns.kill()
            self._dns.communicate()
        self._folder.cleanup()
