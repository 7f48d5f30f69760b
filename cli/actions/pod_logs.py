"""Log lines of workloads, read from their pods through the API server: the newest ones, line by line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from infra.kubernetes import API_ERRORS, api_client, to_esq_error
from infra.names import NAME_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from cli.actions.workloads import Workload

MAX_LINES_PER_POD = 20_000
MAX_LINE_BYTES = 8_192
"""The rest of a longer line is left out."""
TIMEOUT_SECONDS = 15.0
"""Timeout of each read of a response."""
_CHUNK_BYTES = 65_536


@dataclass(frozen=True)
class LogLine:
    """A line of a log.

    Attributes:
        source: the workload that wrote it.
        level: its level in lower case; empty if it has none.
        message: its text.
        at: its time, as its source writes it; empty if it has none.
        trace_id: id of its trace; empty if it has none.
    """

    source: str
    level: str
    message: str
    at: str = ""
    trace_id: str = ""


def read_logs(kubeconfig: Path, workloads: Sequence[Workload], since_seconds: int) -> Iterator[LogLine]:
    """Yield the lines of all pods of workloads, pod by pod.

    Args:
        kubeconfig: kubeconfig of the cluster.
        workloads: the workloads.
        since_seconds: maximum age of a line.

    Raises:
        EsqError: the cluster is unreachable, or rejects a request.
    """
    core = client.CoreV1Api(api_client(kubeconfig, timeout_seconds=TIMEOUT_SECONDS))
    for workload in workloads:
        try:
            pods = core.list_namespaced_pod(
                workload.namespace, label_selector=f"{NAME_LABEL}={workload.name}"
            )
            for pod in pods.items:
                yield from _read_pod(core, workload, pod.metadata.name, since_seconds)
        except API_ERRORS as error:
            raise to_esq_error(error) from error


def _read_pod(core: client.CoreV1Api, workload: Workload, pod: str, since_seconds: int) -> Iterator[LogLine]:
    try:
        response = core.read_namespaced_pod_log(
            pod,
            workload.namespace,
            container=workload.container,
            since_seconds=since_seconds,
            tail_lines=MAX_LINES_PER_POD,
            _preload_content=False,
        )
    except ApiException as error:
        if _has_no_log(error):
            return
        raise
    try:
        for line in split_lines(response.stream(_CHUNK_BYTES)):
            yield parse_line(workload.name, line)
    finally:
        response.release_conn()


def _has_no_log(error: ApiException) -> bool:
    """Return whether a pod is gone since it was listed, or its container has not started yet."""
    text = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body)
    return error.status == HTTPStatus.NOT_FOUND or (
        error.status == HTTPStatus.BAD_REQUEST and "is waiting to start" in text
    )


def split_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of a stream; at most `MAX_LINE_BYTES` of each are kept."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (_decode(line) for line in lines if line)
        rest = rest[:MAX_LINE_BYTES]
    if rest:
        yield _decode(rest)


def _decode(line: bytes) -> str:
    return line[:MAX_LINE_BYTES].decode(errors="replace")


def parse_line(source: str, text: str) -> LogLine:
    """Return a line: its fields if it is a JSON object of a service, else the whole text.

    Args:
        source: the workload that wrote it.
        text: the line.
    """
    if text.startswith("{"):
        try:
            fields = json.loads(text)
            return LogLine(
                source,
                str(fields.get("level", "")).lower(),
                str(fields["message"]),
                at=str(fields.get("time", "")),
                trace_id=str(fields.get("trace_id", "")),
            )
        except (ValueError, KeyError):
            pass
    return LogLine(source, "", text)
