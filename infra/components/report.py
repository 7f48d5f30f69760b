"""What a replicated thing says about itself, one form for all, and the port it is asked through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict

from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Pod(BaseModel):
    """A pod, and where it runs.

    Attributes:
        name: of the pod.
        zone: of its node; None while it has none.
        ready: all its containers say so.
        reason: why it is not ready, in Kubernetes' words; empty when it is.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    zone: str | None
    ready: bool
    reason: str = ""


class Replica(BaseModel):
    """A replica as its own cluster sees it.

    Attributes:
        name: of the pod.
        zone: where it runs; None while it runs nowhere.
        role: e.g. `primary`, `quorum standby`, `broker, leads the quorum`.
        state: e.g. `streaming`, `in sync`; what is wrong, when something is.
        healthy: it does its part.
        lag: how far it is behind, counted in `lag_unit`; None when it leads or nobody knows.
        lag_unit: e.g. `bytes`.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    zone: str | None
    role: str
    state: str
    healthy: bool
    lag: int | None = None
    lag_unit: str = ""


class Report(BaseModel):
    """A replicated thing.

    Attributes:
        thing: `postgres`, `redis`, `kafka` or `objects`.
        healthy: all replicas do their part, and a zone may be lost without a loss of data or service.
        summary: one sentence: what is so, or what is wrong.
        replicas: in the order of their names.
    """

    model_config = ConfigDict(frozen=True)

    thing: str
    healthy: bool
    summary: str
    replicas: tuple[Replica, ...]


class NoAnswerError(EsqError):
    """A pod could not be asked."""


class Pods(Protocol):
    """The pods of the data layer, to be asked."""

    def of(self, name: str) -> Sequence[Pod]:
        """Return the pods of the workload `name`, by name.

        Raises:
            NoAnswerError: the cluster does not answer.
        """

    def run(self, pod: str, container: str, argv: Sequence[str]) -> str:
        """Run `argv` in a container and return its standard output.

        Raises:
            NoAnswerError: it could not be run, ended with an error, or took too long.
        """

    def get(self, pod: str, port: int, path: str) -> str:
        """Return what the pod answers to `GET https://POD:port/path`.

        Raises:
            NoAnswerError: no answer, or no success.
        """


def silent(pod: Pod, why: str = "") -> Replica:
    """Return the replica of a pod that nobody could say anything about."""
    return Replica(
        name=pod.name, zone=pod.zone, role="unknown", state=why or pod.reason or "no answer", healthy=False
    )


def unanswered(thing: str, pods: Sequence[Pod], error: NoAnswerError) -> Report:
    """Return the report of a thing of which no pod could be asked."""
    return Report(
        thing=thing, healthy=False, summary=error.message, replicas=tuple(silent(pod) for pod in pods)
    )


def report(thing: str, replicas: Sequence[Replica], good: str) -> Report:
    """Return the report whose summary is `good` when all `replicas` are healthy, else what is wrong."""
    wrong = [f"{each.name}: {each.state}" for each in replicas if not each.healthy]
    healthy = bool(replicas) and not wrong
    summary = good if healthy else "; ".join(wrong) or "no pods"
    return Report(thing=thing, healthy=healthy, summary=summary, replicas=tuple(replicas))


def first_answer(pods: Sequence[Pod], ask: Asker) -> str:
    """Return what the first of `pods` says that can be asked, ready ones first.

    Raises:
        NoAnswerError: none can; the last one's reason.
    """
    failures = [NoAnswerError("no pods")]
    for pod in sorted(pods, key=lambda each: not each.ready):
        try:
            return ask(pod.name)
        except NoAnswerError as error:
            failures.append(error)
    raise failures[-1]


class Asker(Protocol):
    """Asks a pod."""

    def __call__(self, pod: str, /) -> str:
        """Return the answer; raise NoAnswerError without one."""
