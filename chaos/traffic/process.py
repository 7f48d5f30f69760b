"""The traffic process, seen from the experiment: started, listened to, stopped, asked for its result.

It runs on the host, in a mount namespace of its own in which names are resolved by the zones' DNS, so that
every client library finds the services under the names that their certificates hold for.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.errors import EsqError
from infra.subprocesses import HIGH_PRIORITY_PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from chaos.traffic.client import Endpoints

READY_SECONDS = 90.0
RESULT_SECONDS = 240.0
END_SECONDS = 60.0
_NO_AUTHORITIES = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
"""The platform has its own, and Redis's client would read all of the machine's for each connection: 70 ms."""
_OPTIONS = "options timeout:1 attempts:3"
_ENTER = 'mount --bind "$0" "$(readlink -f /etc/resolv.conf)" && exec "$@"'


class TrafficFailedError(EsqError):
    """The traffic process ended, or did not say what it had to in time."""


class Traffic:
    """Clients at work, as long as the block lasts.

    Args:
        clients: which, e.g. `postgres`, `edge`.
        endpoints: where they go.
        nameservers: addresses of the zones' DNS.

    Attributes:
        silence: seconds since each lane's last acknowledgement, as last told.
    """

    def __init__(self, clients: Sequence[str], endpoints: Endpoints, nameservers: Sequence[str]) -> None:
        self.silence: dict[str, float] = {}
        self._wanted = {"clients": list(clients), "endpoints": endpoints.model_dump()}
        self._nameservers = nameservers
        self._told: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._folder = tempfile.TemporaryDirectory(prefix="esq-traffic-")
        self._errors = Path(self._folder.name) / "errors"

    def __enter__(self) -> Self:
        """Start, and return when every client has reached its service.

        Raises:
            TrafficFailedError: one of them has not.
        """
        resolver = Path(self._folder.name) / "resolv.conf"
        # The same place in the loopback network as the zones have in theirs, so that clusters do not meet.
        listen = f"127.{self._nameservers[0].split('.', 1)[1]}"
        resolver.write_text(f"nameserver {listen}\n{_OPTIONS}\n")
        resolver.chmod(0o644)
        # On a machine that is short of processors a late client would measure itself: both go first, each in
        # a session of its own, as the one that we are in is not theirs to move.
        enter = [
            *HIGH_PRIORITY_PREFIX,
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            _ENTER,
            str(resolver),
        ]
        with self._errors.open("w") as errors:
            self._names = subprocess.Popen(
                [
                    *HIGH_PRIORITY_PREFIX,
                    sys.executable,
                    "-m",
                    "chaos.traffic.names",
                    listen,
                    *self._nameservers,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
            self._process = subprocess.Popen(
                [*enter, sys.executable, "-m", "chaos.traffic"],
                env=os.environ | _NO_AUTHORITIES,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        threading.Thread(target=self._listen, name="traffic", daemon=True).start()
        self._say(json.dumps(self._wanted))
        try:
            self._await("ready", READY_SECONDS)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, whether it was asked for its result or not."""
        self._end()

    def result(self) -> dict[str, Any]:
        """Stop the traffic, and return the logs of all lanes and what the services hold.

        Raises:
            TrafficFailedError: it did not tell in time.
        """
        self._say("stop")
        found: dict[str, Any] = self._await("result", RESULT_SECONDS)
        return found

    def _say(self, line: str) -> None:
        if self._process.stdin is None:
            raise TypeError("the process was started with a pipe")
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._failed("it has ended") from error

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            for what, value in json.loads(line).items():
                if what == "silence":
                    self.silence = value
                else:
                    self._told.put((what, value))
        self._told.put(("ended", None))

    def _await(self, what: str, seconds: float) -> Any:  # noqa: ANN401 - what the process tells
        deadline = time.monotonic() + seconds
        while True:
            try:
                said, value = self._told.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise self._failed(f"no `{what}` within {seconds:g} s") from None
            if said == what:
                return value
            if said == "ended":
                raise self._failed("it has ended")

    def _failed(self, why: str) -> TrafficFailedError:
        return TrafficFailedError(
            f"the traffic process failed: {why}",
            location="chaos.traffic",
            remedy="See `esq status`: traffic starts only where every service answers.",
            detail=self._errors.read_text()[-2000:],
        )

    def _end(self) -> None:
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):  # it has ended by itself, and what was not told it need not be
                self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._names.kill()
        self._names.communicate()
        self._folder.cleanup()
