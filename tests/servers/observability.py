"""VictoriaMetrics, vmalert, Alertmanager and VictoriaLogs, each on a free loopback port with its own folder."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx

from infra.components.observability import TOKEN_HEADER
from tests.servers.process import Server, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

START_TIMEOUT_SECONDS = 30.0
_MEMORY = "-memory.allowedBytes=64MiB"


class ObservabilityServer:
    """One of the servers; runs as long as its block.

    Attributes:
        folder: folder of its data and its log.
        url: base URL.
    """

    program = ""
    ready_path = "/health"

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"esq-{self.program}-"))
        self.address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}"
        self.server = Server(self.program, self.folder / "log")

    def arguments(self) -> Sequence[str]:
        """Return the arguments of the program."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.server.launch([self.program, *self.arguments()])
        self.server.wait_until_ready(self._is_ready, START_TIMEOUT_SECONDS)

    def stop(self) -> None:
        """Stop it and delete its folder."""
        self.server.send_signal(signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_ready(self) -> bool:
        try:
            url = self.url + self.ready_path
            return httpx.get(url, timeout=2.0, verify=False).is_success  # noqa: S501 - only whether it answers
        except httpx.HTTPError:
            return False

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()


class VictoriaMetrics(ObservabilityServer):
    """A VictoriaMetrics.

    Args:
        options: further arguments, e.g. `-promscrape.config=FILE`.
    """

    program = "victoria-metrics"

    def __init__(self, *options: str) -> None:
        super().__init__()
        self._options = options

    def arguments(self) -> Sequence[str]:
        """See `ObservabilityServer`."""
        data = f"-storageDataPath={self.folder / 'data'}"
        # A sample is visible to queries at once, not after the default 30 s.
        fresh = ("-search.latencyOffset=0s", "-search.disableCache")
        return (data, f"-httpListenAddr={self.address}", _MEMORY, *fresh, *self._options)

    def write(self, *lines: str) -> None:
        """Add samples and make them visible to queries.

        Args:
            lines: samples in the text format of Prometheus; the timestamp is in milliseconds, that of a second
                ago by default, as queries see nothing of the current second.
        """
        httpx.post(
            f"{self.url}/api/v1/import/prometheus",
            params={"timestamp": str(int((time.time() - 1) * 1000))},
            content="\n".join(lines) + "\n",
            timeout=10.0,
        ).raise_for_status()
        httpx.get(f"{self.url}/internal/force_flush", timeout=10.0).raise_for_status()


class VictoriaLogs(ObservabilityServer):
    """A VictoriaLogs."""

    program = "victoria-logs"

    def arguments(self) -> Sequence[str]:
        """See `ObservabilityServer`."""
        return (f"-storageDataPath={self.folder / 'data'}", f"-httpListenAddr={self.address}", _MEMORY)

    def write(self, *lines: str, stream_fields: str = "service") -> None:
        """Add log entries and make them visible to queries.

        Args:
            lines: entries as JSON with `_msg` and `_time`.
            stream_fields: names of the fields of a stream, separated by commas.
        """
        httpx.post(
            f"{self.url}/insert/jsonline",
            params={"_stream_fields": stream_fields},
            content="\n".join(lines) + "\n",
            timeout=10.0,
        ).raise_for_status()
        httpx.get(f"{self.url}/internal/force_flush", timeout=10.0).raise_for_status()


class Alertmanager(ObservabilityServer):
    """An Alertmanager without peers.

    Args:
        configuration: text of its configuration file.
        options: further arguments.
    """

    program = "prometheus-alertmanager"
    ready_path = "/-/ready"

    def __init__(self, configuration: str, *options: str) -> None:
        super().__init__()
        self._options = options
        (self.folder / "alertmanager.yml").write_text(configuration)

    def arguments(self) -> Sequence[str]:
        """See `ObservabilityServer`."""
        return (
            f"--config.file={self.folder / 'alertmanager.yml'}",
            f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",
            *self._options,
        )


class Vmalert(ObservabilityServer):
    """A vmalert that evaluates rules every second.

    Args:
        rules: text of its file of rules.
        metrics: where it reads from, and writes the state of alerts to.
        alertmanager: where it sends alerts.
        options: further arguments.
    """

    program = "vmalert"

    def __init__(
        self, rules: str, metrics: VictoriaMetrics, alertmanager: Alertmanager, *options: str
    ) -> None:
        super().__init__()
        self._options = options
        self._metrics, self._alertmanager = metrics, alertmanager
        (self.folder / "rules.yml").write_text(rules)

    def arguments(self) -> Sequence[str]:
        """See `ObservabilityServer`."""
        return (
            f"-rule={self.folder / 'rules.yml'}",
            f"-datasource.url={self._metrics.url}",
            f"-remoteWrite.url={self._metrics.url}",
            f"-remoteRead.url={self._metrics.url}",
            f"-notifier.url={self._alertmanager.url}",
            f"-httpListenAddr={self.address}",
            "-evaluationInterval=1s",
            # By default it evaluates the state of 30 s ago.
            "-rule.evalDelay=0s",
            *self._options,
        )


class Gateway(ObservabilityServer):
    """A vmauth that serves TLS.

    Args:
        configuration: text of its configuration file.
        certificate: folder with `tls.crt` and `tls.key`.
        host: address that it listens on.
    """

    program = "vmauth"

    def __init__(self, configuration: str, certificate: Path, host: str) -> None:
        super().__init__()
        self.address = f"{host}:{free_port()}"
        self.url = f"https://{self.address}"
        self._certificate = certificate
        (self.folder / "auth.yml").write_text(configuration)

    def arguments(self) -> Sequence[str]:
        """See `ObservabilityServer`."""
        return (
            f"-auth.config={self.folder / 'auth.yml'}",
            f"-httpListenAddr={self.address}",
            "-tls",
            f"-tlsCertFile={self._certificate / 'tls.crt'}",
            f"-tlsKeyFile={self._certificate / 'tls.key'}",
            f"-httpAuthHeader={TOKEN_HEADER}",
            "-httpAuthHeader=Authorization",
        )
