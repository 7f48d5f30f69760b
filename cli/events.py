"""What the engine says while it runs, turned into one line for people and facts for the report.

Pure: events in, state out. The engine names resources by URN; people know them as `StatefulSet postgres`.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pulumi.automation.events import DiagnosticEvent, EngineEvent, StepEventMetadata

_COLOUR = re.compile(r"<\{%[^%]*%\}>|\x1b\[[0-9;]*m")
_UNSEEN = frozenset({"pulumi:pulumi:Stack"})
_QUIET = frozenset({"same", "read", "refresh"})
_REPEATED = ("an unhandled error occurred", "update failed", "preview failed")
"""How the engine begins messages that tell again what was told before."""
_EXPECTED = "using pulumi-resource-kubernetes from $PATH"
"""We put it there ourselves, and only where the official one is missing."""
_NAMED = 2
"""Resources under way that the line names; the rest are counted."""


@dataclass(frozen=True)
class Change:
    """What a run does, or would do, to one resource.

    Attributes:
        resource: kind and name, e.g. `StatefulSet postgres`.
        operation: `create`, `update`, `replace`, `delete`.
        fields: paths that differ, without their values, for those may be secret.
    """

    resource: str
    operation: str
    fields: tuple[str, ...] = ()


@dataclass
class Failure:
    """A resource that could not be brought where it should be, and what was said about it."""

    resource: str
    reasons: list[str] = field(default_factory=list)


def name(urn: str) -> str:
    """Return what people call the resource of `urn`."""
    kinds, _, own = urn.rpartition("::")
    return f"{kinds.rpartition('::')[2].rpartition('$')[2].rpartition(':')[2]} {own}"


def clean(message: str) -> str:
    """Return `message` without the engine's colours."""
    return _COLOUR.sub("", message).strip()


@dataclass
class Run:
    """One run of the engine, as its events tell it.

    Attributes:
        waiting: told whenever the line changes.
        changes: what was (or would be) changed.
        counts: resources by operation, the unchanged ones under `same`.
        failures: by URN.
        errors: said about no resource in particular.
        warnings: said about anything.
    """

    waiting: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    changes: list[Change] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _under_way: dict[str, tuple[str, str]] = field(default_factory=dict)

    def take(self, event: EngineEvent) -> None:
        """Take the next event into account."""
        if event.diagnostic_event is not None:
            self._diagnostic(event.diagnostic_event)
        elif event.resource_pre_event is not None:
            self._begun(event.resource_pre_event.metadata)
        elif event.res_outputs_event is not None:
            self._done(event.res_outputs_event.metadata)
        elif event.res_op_failed_event is not None:
            self._failed(event.res_op_failed_event.metadata)
        elif event.summary_event is not None:
            changes = event.summary_event.resource_changes
            self.counts = {getattr(op, "value", op): count for op, count in changes.items()}

    def line(self) -> str:
        """Say what the run waits for."""
        latest = list(self._under_way.values())[-_NAMED:]
        more = len(self._under_way) - len(latest)
        told = [f"{resource}: {what}" if what else resource for resource, what in latest]
        return ", ".join(told) + (f" and {more} more" if more else "")

    def _begun(self, step: StepEventMetadata) -> None:
        if step.type not in _UNSEEN and step.op.value not in _QUIET:
            self._under_way[step.urn] = (name(step.urn), step.op.value)
            self.waiting(self.line())

    def _done(self, step: StepEventMetadata) -> None:
        self._under_way.pop(step.urn, None)
        if step.type not in _UNSEEN and step.op.value not in _QUIET:
            change = Change(name(step.urn), step.op.value, _fields(step))
            # A preview tells of a component twice: when it is declared, and with its outputs.
            self.changes += [change] if change not in self.changes else []
        self.waiting(self.line())

    def _failed(self, step: StepEventMetadata) -> None:
        self._under_way.pop(step.urn, None)
        failure = self._failure(step.urn)
        for state in (step.new, step.old):
            if state is not None and state.init_errors:
                failure.reasons += [clean(each) for each in state.init_errors]
                break

    def _diagnostic(self, event: DiagnosticEvent) -> None:
        message = clean(event.message)
        if not message:
            return
        if event.ephemeral and event.urn in self._under_way:
            self._under_way[event.urn] = (self._under_way[event.urn][0], message.splitlines()[0])
            self.waiting(self.line())
        elif event.severity == "error":
            self._error(event.urn, message)
        elif event.severity == "warning" and not message.startswith(_EXPECTED):
            self.warnings += [message] if message not in self.warnings else []

    def _error(self, urn: str | None, message: str) -> None:
        if urn and not urn.endswith("::pulumi:pulumi:Stack") and "pulumi:pulumi:Stack::" not in urn:
            reasons = self._failure(urn).reasons
            if message not in reasons:
                reasons.append(message)
        elif message not in self.errors and not message.startswith(_REPEATED):
            self.errors.append(message)

    def _failure(self, urn: str) -> Failure:
        return self.failures.setdefault(urn, Failure(name(urn)))


def _fields(step: StepEventMetadata) -> tuple[str, ...]:
    detailed = sorted(step.detailed_diff or {})
    return tuple(detailed or step.diffs or ())
