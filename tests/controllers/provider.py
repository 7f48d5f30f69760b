"""Ways to ask the provider: as the engine would, call by call, or through the engine itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pulumi import automation
from pulumi.runtime.proto import provider_pb2 as rpc

from infra.provider.servicer import Servicer
from infra.provider.values import Values, encode

if TYPE_CHECKING:
    from collections.abc import Callable

Object = dict[str, Any]


class RefusedByProviderError(Exception):
    """The call ended with an error; `trailing` holds its details."""

    def __init__(self, message: str, trailing: tuple[Any, ...]) -> None:
        super().__init__(message)
        self.trailing = trailing


class Call:
    """What a gRPC server hands to a method."""

    def __init__(self) -> None:
        self._trailing: tuple[Any, ...] = ()

    def set_trailing_metadata(self, metadata: tuple[Any, ...]) -> None:
        """Remember the details of an error."""
        self._trailing = metadata

    def abort(self, code: object, message: str) -> None:  # noqa: ARG002 - the server's signature
        """End the call."""
        raise RefusedByProviderError(message, self._trailing)


class Driver:
    """A provider that was configured, and the engine's part of the life of objects."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.servicer = Servicer(None)
        self.servicer.Configure(rpc.ConfigureRequest(args=encode(settings)), Call())

    def urn(self, token: str, name: str) -> str:
        """Return the engine's name of a resource."""
        return f"urn:pulumi:test::test::{token}::{name}"

    def check(
        self, token: str, name: str, obj: Object, olds: Object | None = None
    ) -> tuple[Object, list[str]]:
        """Return checked inputs, and failures in words."""
        request = rpc.CheckRequest(urn=self.urn(token, name), news=encode(obj), olds=encode(olds or {}))
        answer = self.servicer.Check(request, Call())
        return Values(answer.inputs).plain, [f"{each.property}: {each.reason}" for each in answer.failures]

    def create(
        self, token: str, name: str, obj: Object, *, preview: bool = False, timeout: float = 20
    ) -> rpc.CreateResponse:
        """Check and create."""
        inputs, failures = self.check(token, name, obj)
        assert not failures
        request = rpc.CreateRequest(
            urn=self.urn(token, name), properties=encode(inputs), preview=preview, timeout=timeout
        )
        return self.servicer.Create(request, Call())

    def diff(
        self, token: str, name: str, state: Object, obj: Object, ignore: tuple[str, ...] = ()
    ) -> rpc.DiffResponse:
        """Check and compare."""
        inputs, failures = self.check(token, name, obj, state["__inputs"])
        assert not failures
        request = rpc.DiffRequest(
            urn=self.urn(token, name),
            olds=encode(state),
            old_inputs=encode(state["__inputs"]),
            news=encode(inputs),
            ignoreChanges=ignore,
        )
        return self.servicer.Diff(request, Call())

    def update(  # noqa: PLR0913 - the words of an update
        self,
        token: str,
        name: str,
        state: Object,
        obj: Object,
        *,
        preview: bool = False,
        ignore: tuple[str, ...] = (),
        timeout: float = 20,
    ) -> Object:
        """Check and update; return the new state."""
        inputs, _ = self.check(token, name, obj, state["__inputs"])
        request = rpc.UpdateRequest(
            urn=self.urn(token, name),
            olds=encode(state),
            news=encode(inputs),
            preview=preview,
            ignoreChanges=ignore,
            timeout=timeout,
        )
        return Values(self.servicer.Update(request, Call()).properties).plain

    def read(self, token: str, name: str, identifier: str, state: Object | None = None) -> rpc.ReadResponse:
        """Refresh, or import when there is no state."""
        request = rpc.ReadRequest(
            id=identifier,
            urn=self.urn(token, name),
            properties=encode(state or {}),
            inputs=encode((state or {}).get("__inputs", {})),
        )
        return self.servicer.Read(request, Call())

    def delete(self, token: str, name: str, state: Object, timeout: float = 20) -> None:
        """Delete."""
        request = rpc.DeleteRequest(
            id="", urn=self.urn(token, name), properties=encode(state), timeout=timeout
        )
        self.servicer.Delete(request, Call())


def state_of(answer: rpc.CreateResponse) -> Object:
    """Return the state that an answer carries."""
    return Values(answer.properties).plain


@dataclass
class Stack:
    """A stack of the real engine; programs are functions."""

    name: str = "test"
    seen: list[str] = field(default_factory=list)

    def up(self, program: Callable[[], None]) -> dict[str, int]:
        """Run a program; return how many resources saw which operation."""
        result = self._stack(program).up(on_output=self.seen.append)
        return dict(result.summary.resource_changes or {})

    def preview(self, program: Callable[[], None]) -> dict[str, int]:
        """Preview a program."""
        return {str(key): count for key, count in self._stack(program).preview().change_summary.items()}

    def refresh(self, program: Callable[[], None]) -> dict[str, int]:
        """Refresh."""
        return dict(self._stack(program).refresh().summary.resource_changes or {})

    def destroy(self) -> None:
        """Destroy."""
        self._stack(lambda: None).destroy()

    def exported(self) -> str:
        """Return the state as it is stored."""
        return str(self._stack(lambda: None).export_stack().deployment)

    def _stack(self, program: Callable[[], None]) -> automation.Stack:
        return automation.create_or_select_stack(self.name, "conformance", program)
