"""Events of the Pulumi engine, reduced to a status line for people and facts for the result.

Pure: events in, state out. The engine identifies resources by URN; people read `StatefulSet postgres`.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cli.diagnostics import ObjectReference

if TYPE_CHECKING:
    from collections.abc import Callable

    from pulumi.automation.events import DiagnosticEvent, EngineEvent, StepEventMetadata

_COLOUR = re.compile(r"<\{%[^%]*%\}>|\x1b\[[0-9;]*m")
_HIDDEN_TYPES = ("pulumi:pulumi:Stack", "pulumi:providers:")
"""Prefixes of types that are in every program, whatever it declares."""
_UNREPORTED_OPERATIONS = frozenset({"same", "read", "refresh"})
_SUMMARY_MESSAGES = ("an unhandled error occurred", "update failed", "preview failed")
"""Prefixes of messages that only repeat earlier ones."""
_EXPECTED_WARNING = "using pulumi-resource-kubernetes from $PATH"
"""The toolchain puts it on PATH."""
_MAX_NAMED = 2
"""Resources in progress that the status line names; further ones are counted."""


@dataclass(frozen=True)
class ResourceChange:
    """Change of one resource.

    Attributes:
        resource: kind and name, e.g. `StatefulSet postgres`.
        operation: `create`, `update`, `replace`, `delete`.
        fields: paths of changed properties, without values, which can be secret.
    """

    resource: str
    operation: str
    fields: tuple[str, ...] = ()


@dataclass
class ResourceFailure:
    """A resource whose operation failed.

    Attributes:
        resource: kind and name, e.g. `StatefulSet postgres`.
        reasons: error messages of the engine and the provider.
        reference: the Kubernetes object; None when the resource is not a Kubernetes object.
    """

    resource: str
    reasons: list[str] = field(default_factory=list)
    reference: ObjectReference | None = None


def resource_name(urn: str) -> str:
    """Return kind and name of the resource with this URN."""
    kinds, _, name = urn.rpartition("::")
    return f"{kinds.rpartition('::')[2].rpartition('$')[2].rpartition(':')[2]} {name}"


def strip_colours(message: str) -> str:
    """Return the message without the engine's colour codes."""
    return _COLOUR.sub("", message).strip()


@dataclass
class EngineRun:
    """State of one engine run, built from its events.

    Attributes:
        on_status: called with the status line when it changes.
        clock: monotonic time in seconds.
        changes: resources that changed, or would change.
        counts: resources by operation; unchanged ones under `same`.
        failures: failed resources by URN.
        errors: errors without a resource.
        warnings: all warnings.
        urns: all resources that the engine has considered.
    """

    on_status: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    changes: list[ResourceChange] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    failures: dict[str, ResourceFailure] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    urns: set[str] = field(default_factory=set)
    _in_progress: dict[str, tuple[str, str]] = field(default_factory=dict)

    def handle(self, event: EngineEvent) -> None:
        """Process the next event."""
        if event.diagnostic_event is not None:
            self._on_diagnostic(event.diagnostic_event)
        elif event.resource_pre_event is not None:
            self._on_started(event.resource_pre_event.metadata)
        elif event.res_outputs_event is not None:
            self._on_finished(event.res_outputs_event.metadata)
        elif event.res_op_failed_event is not None:
            self._on_failed(event.res_op_failed_event.metadata)
        elif event.summary_event is not None:
            changes = event.summary_event.resource_changes
            self.counts = {getattr(op, "value", op): count for op, count in changes.items()}

    def status_line(self) -> str:
        """Return the resources in progress and what they wait for."""
        latest = list(self._in_progress.values())[-_MAX_NAMED:]
        hidden = len(self._in_progress) - len(latest)
        parts = [f"{resource}: {status}" if status else resource for resource, status in latest]
        return ", ".join(parts) + (f" and {hidden} more" if hidden else "")

    def _on_started(self, step: StepEventMetadata) -> None:
        self.urns.add(step.urn)
        if not step.type.startswith(_HIDDEN_TYPES) and step.op.value not in _UNREPORTED_OPERATIONS:
            self._in_progress[step.urn] = (resource_name(step.urn), step.op.value)
            self.on_status(self.status_line())

    def _on_finished(self, step: StepEventMetadata) -> None:
        self.urns.add(step.urn)
        self._in_progress.pop(step.urn, None)
        if not step.type.startswith(_HIDDEN_TYPES) and step.op.value not in _UNREPORTED_OPERATIONS:
            change = ResourceChange(resource_name(step.urn), step.op.value, _changed_fields(step))
            # A preview reports a component twice: when it is declared, and with its outputs.
            self.changes += [change] if change not in self.changes else []
        self.on_status(self.status_line())

    def _on_failed(self, step: StepEventMetadata) -> None:
        self._in_progress.pop(step.urn, None)
        failure = self._failure_of(step.urn)
        states = [state for state in (step.new, step.old) if state is not None]
        references = [
            ObjectReference.of(fields)
            for state in states
            for fields in (state.outputs, state.inputs)
            if fields
        ]
        failure.reference = next((reference for reference in references if reference), None)
        for state in states:
            if state.init_errors:
                failure.reasons += [strip_colours(error) for error in state.init_errors]
                break

    def _on_diagnostic(self, event: DiagnosticEvent) -> None:
        message = strip_colours(event.message)
        if not message:
            return
        if event.ephemeral and event.urn in self._in_progress:
            self._in_progress[event.urn] = (self._in_progress[event.urn][0], message.splitlines()[0])
            self.on_status(self.status_line())
        elif event.severity == "error":
            self._add_error(event.urn, message)
        elif event.severity == "warning" and not message.startswith(_EXPECTED_WARNING):
            self.warnings += [message] if message not in self.warnings else []

    def _add_error(self, urn: str | None, message: str) -> None:
        if urn and not urn.endswith("::pulumi:pulumi:Stack") and "pulumi:pulumi:Stack::" not in urn:
            reasons = self._failure_of(urn).reasons
            if message not in reasons:
                reasons.append(message)
        elif message not in self.errors and not message.startswith(_SUMMARY_MESSAGES):
            self.errors.append(message)

    def _failure_of(self, urn: str) -> ResourceFailure:
        return self.failures.setdefault(urn, ResourceFailure(resource_name(urn)))


def _changed_fields(step: StepEventMetadata) -> tuple[str, ...]:
    detailed = sorted(step.detailed_diff or {})
    return tuple(detailed or step.diffs or ())
