"""Client of the observability layer: through the API server to the layer's gateway, on every cluster.

A request has a timeout and is repeated for two seconds at most: a caller that polls asks again.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from infra.alerts.rules import INHIBITION
from infra.components import observability
from infra.components.observability.spans import Span, parse_span
from infra.errors import EsqError, UnreachableError
from infra.kubernetes import api_client, get_or_none, send, to_esq_error
from infra.names import OBSERVABILITY_NAMESPACE
from runbooks.check import UnavailableError
from runbooks.readings import Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

TIMEOUT_SECONDS = 5.0
RETRY_SECONDS = 2.0
MAX_SPANS = 10_000
"""Limit of the spans of a trace."""
_REJECTED_STATUSES = frozenset({400, 422})
_MAX_DETAIL_CHARACTERS = 500


class LayerUnavailableError(UnavailableError):
    """The observability layer is not deployed, or does not answer."""


class QueryError(EsqError):
    """The server rejects a query."""


@dataclass(frozen=True)
class Series:
    """The values of a metric over time.

    Attributes:
        labels: its labels; its name is `__name__`.
        points: seconds since 1970 (UTC), and the value at that time.
    """

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class FiringAlert:
    """An alert as Alertmanager knows it.

    Attributes:
        labels: its labels; its name is `alertname`.
        annotations: texts for people.
        started_at: since when it fires (UTC).
        state: `active`, or `suppressed` by a silence or another alert.
        silenced_by: ids of the silences.
        inhibited_by: ids of the alerts that inhibit it.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    started_at: dt.datetime
    state: str
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the alert in the catalog."""
        return self.labels.get("alertname", "")


class ObservabilityClient:
    """Client of the layer of one environment; threads may share it.

    Args:
        kubeconfig: kubeconfig of the environment's cluster.
        timeout_seconds: timeout to connect, and of each read.
        retry_seconds: time after which no further attempt starts.
    """

    def __init__(
        self,
        kubeconfig: Path,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._api = api_client(kubeconfig, timeout_seconds=timeout_seconds, retry_seconds=retry_seconds)

    def is_deployed(self) -> bool:
        """Return whether the layer is deployed.

        Raises:
            EsqError: the API server does not answer or rejects the request.
        """
        return self._secret() is not None

    def metrics_query(self, query: str, at: dt.datetime | None = None) -> list[Sample]:
        """Return the result of a query.

        Args:
            query: MetricsQL.
            at: time of the query (UTC); now if None.

        Raises:
            LayerUnavailableError: the layer is not deployed, or does not answer.
            QueryError: invalid query.
        """
        parameters = {"query": query, **({"time": str(at.timestamp())} if at else {})}
        result = self._get_json(observability.METRICS, "/api/v1/query", parameters)["data"]
        if result["resultType"] == "scalar":
            return [Sample({}, float(result["result"][1]))]
        return [Sample(row["metric"], float(row["value"][1])) for row in result["result"]]

    def metrics_range(
        self, query: str, start: dt.datetime, end: dt.datetime, step_seconds: float
    ) -> list[Series]:
        """Return the results of a query over time.

        Args:
            query: MetricsQL.
            start: time of the first result (UTC).
            end: time of the last result (UTC).
            step_seconds: interval between results.

        Raises:
            LayerUnavailableError: the layer is not deployed, or does not answer.
            QueryError: invalid query.
        """
        parameters = {
            "query": query,
            "start": str(start.timestamp()),
            "end": str(end.timestamp()),
            "step": f"{step_seconds}s",
        }
        rows = self._get_json(observability.METRICS, "/api/v1/query_range", parameters)["data"]["result"]
        return [
            Series(row["metric"], tuple((float(at), float(value)) for at, value in row["values"]))
            for row in rows
        ]

    def logs_query(
        self,
        query: str,
        limit: int = 100,
        start: dt.datetime | None = None,
        end: dt.datetime | None = None,
    ) -> list[dict[str, str]]:
        """Return log entries by field, newest first; `_msg`, `_time` and `_stream` are always present.

        Args:
            query: LogsQL.
            limit: maximum number of entries; the newest are returned.
            start: entries from this time on (UTC).
            end: entries before this time (UTC).

        Raises:
            LayerUnavailableError: the layer is not deployed, or does not answer.
            QueryError: invalid query.
        """
        parameters = {"query": query, "limit": str(limit)}
        parameters |= {name: at.isoformat() for name, at in (("start", start), ("end", end)) if at}
        text = self.request("GET", observability.LOGS, "/select/logsql/query", query=parameters)
        entries: list[dict[str, str]] = [json.loads(line) for line in text.splitlines() if line]
        return sorted(entries, key=lambda entry: entry.get("_time", ""), reverse=True)

    def trace(self, trace_id: str) -> list[Span]:
        """Return the spans of a trace by start; empty for one that is unknown or was not sampled.

        Args:
            trace_id: 32 hexadecimal digits.

        Raises:
            LayerUnavailableError: the layer is not deployed, or does not answer.
        """
        query = f"{observability.SPAN_STREAM} trace_id:={json.dumps(trace_id)}"
        spans = [parse_span(entry) for entry in self.logs_query(query, MAX_SPANS)]
        return sorted(spans, key=lambda span: span.started_at)

    def alerts(self) -> list[FiringAlert]:
        """Return the firing alerts, with those that a silence or another alert suppresses.

        Raises:
            LayerUnavailableError: the layer is not deployed, or does not answer.
        """
        return parse_alerts(self._get_json(observability.ALERTMANAGER, "/api/v2/alerts"))

    def request(
        self,
        method: str,
        part: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
    ) -> str:
        """Send a request to a part of the layer and return the text of the response.

        Args:
            method: HTTP method.
            part: a key of `infra.components.observability.PATHS`.
            path: path on its server.
            query: parameters of the query.
            body: value that is sent as JSON.

        Raises:
            LayerUnavailableError: the layer is not deployed, or does not answer.
            QueryError: the server rejects the request.
        """
        url = f"{_PROXY}{observability.PATHS[part]}{path}"
        headers = {observability.TOKEN_HEADER: f"Bearer {self._token}"}
        try:
            return send(self._api, method, url, query=query, headers=headers, body=body)
        except ApiException as error:
            if error.status == HTTPStatus.UNAUTHORIZED:
                # A rotation has replaced the token: the next request reads the new one.
                self.__dict__.pop("_token", None)
            _raise_error(error)
        except UnreachableError as error:
            raise LayerUnavailableError.caused_by(
                error, "the observability layer cannot be reached", remedy=error.remedy
            ) from error

    def _get_json(self, part: str, path: str, query: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - any JSON
        return json.loads(self.request("GET", part, path, query=query))

    @cached_property
    def _token(self) -> str:
        secret = self._secret()
        if secret is None:
            raise LayerUnavailableError(
                "the observability layer is not deployed",
                location=OBSERVABILITY_NAMESPACE,
                remedy="Deploy it: `esq deploy ENV --layer observability`.",
            )
        return base64.b64decode(secret.data[observability.TOKEN_KEY]).decode()

    def _secret(self) -> Any:  # noqa: ANN401 - the client has no types
        read = client.CoreV1Api(self._api).read_namespaced_secret
        return get_or_none(lambda: read(observability.TOKEN_SECRET, OBSERVABILITY_NAMESPACE))


_PROXY = (
    f"/api/v1/namespaces/{OBSERVABILITY_NAMESPACE}/services/"
    f"https:{observability.GATEWAY}:{observability.GATEWAY_PORT}/proxy"
)


def _raise_error(error: ApiException) -> NoReturn:
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
    body = body[:_MAX_DETAIL_CHARACTERS]
    if error.status in _REJECTED_STATUSES:
        raise QueryError(
            "the observability layer rejects a query",
            location=OBSERVABILITY_NAMESPACE,
            remedy="Correct the query.",
            detail=body,
        ) from error
    cause = to_esq_error(error)
    raise LayerUnavailableError(
        f"the observability layer answers {error.status}",
        location=OBSERVABILITY_NAMESPACE,
        remedy="See `esq status ENV`.",
        detail=body or cause.detail,
    ) from error


def parse_alerts(rows: Iterable[Mapping[str, Any]]) -> list[FiringAlert]:
    """Return the alerts of a response of Alertmanager, without those that only suppress others."""
    return [_alert(row) for row in rows if row["labels"].get("alertname") != INHIBITION]


def _alert(row: Mapping[str, Any]) -> FiringAlert:
    status = row["status"]
    return FiringAlert(
        labels=row["labels"],
        annotations=row["annotations"],
        started_at=dt.datetime.fromisoformat(row["startsAt"]),
        state=status["state"],
        silenced_by=tuple(status["silencedBy"]),
        inhibited_by=tuple(status["inhibitedBy"]),
    )
