"""The engine's side: each call of Pulumi's provider contract, translated to the life of an object and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from infra.provider import check, compare, identity
from infra.provider.api import ApiError
from infra.provider.instance import Instance
from infra.provider.lifecycle import RefusedError
from infra.provider.ownership import left_alone
from infra.provider.replies import fail, init_failed
from infra.provider.state import (
    detailed,
    importable,
    input_faults,
    stored,
    type_of,
)
from infra.provider.values import Values, encode
from infra.provider.waiting import Cancelled, NotReady

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc


Object = dict[str, Any]
_REFUSALS = (RefusedError, identity.Refused, Cancelled, ApiError)


class Servicer(Instance):
    """Each call about an object, translated to its life and back."""

    def Check(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        """Fill in what the program left out."""
        token = type_of(request.urn)
        olds, news = Values(request.olds), Values(request.news)
        try:
            api_version, kind = identity.group_version_kind(token)
        except identity.Refused as error:
            fail(context, str(error))
        faults = input_faults(token, news.plain)
        if faults:
            return provider_pb2.CheckResponse(inputs=request.news, failures=faults)
        obj = check.normalise({**news.plain, "apiVersion": api_version, "kind": kind})
        obj = identity.with_name(obj, request.urn, olds.plain or None)
        if not obj["metadata"].get("namespace") and identity.is_namespaced(
            kind, lambda: self._namespaced(api_version, kind)
        ):
            obj["metadata"]["namespace"] = self._configuration.namespace
        return provider_pb2.CheckResponse(inputs=encode(obj, check.secret_paths(obj, news.secrets)))

    def Diff(
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        """Compare what is known of the live object, cut to what was described, with what is described now."""
        state = Values(request.olds).plain
        old = Values(request.old_inputs).plain or state.get("__inputs") or {}
        new = Values(request.news).plain
        before = {key: each for key, each in (compare.prune(state, old) or {}).items() if key != "apiVersion"}
        after = {key: each for key, each in new.items() if key != "apiVersion"}
        group, kind = new["apiVersion"].rpartition("/")[0], new["kind"]
        mutable = f"enable{kind}Mutable" in self._configuration.flags
        patch = identity.is_patch(type_of(request.urn))
        ignored = tuple(request.ignoreChanges)
        found = [
            (path, how)
            for path, how in compare.differences(before, after)
            if not any(
                compare.dotted(path) == each or compare.dotted(path).startswith((f"{each}.", f"{each}["))
                for each in ignored
            )
        ]
        replaces = [
            compare.dotted(path)
            for path, _ in found
            if (not patch or path[0] == "metadata")
            and compare.replaces(group, kind, path, old, new, mutable=mutable)
        ]
        same_place = identity.object_id(old) == identity.object_id(new) if old.get("metadata") else False
        changes = provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=changes,
            diffs=sorted({str(path[0]) for path, _ in found}),
            replaces=replaces,
            deleteBeforeReplace=bool(replaces) and same_place and not identity.is_autonamed(new),
            hasDetailedDiff=True,
            detailedDiff={
                compare.dotted(path): detailed(how, compare.dotted(path) in replaces) for path, how in found
            },
        )

    def Create(
        self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CreateResponse:
        """Create the object and wait until it is ready."""
        inputs, token = Values(request.properties), type_of(request.urn)
        obj = inputs.plain
        if request.preview and (inputs.unknown or self._life is None):
            return provider_pb2.CreateResponse(
                properties=encode(obj, check.secret_paths(obj, inputs.secrets))
            )
        life, say = self._reachable(context), self._say(request.urn)
        manager = life.manager(obj, None)
        try:
            if request.preview:
                live = life.preview_create(token, obj)
                return provider_pb2.CreateResponse(
                    properties=encode(live, check.secret_paths(live, inputs.secrets))
                )
            live = life.create(token, obj, manager, say)
        except _REFUSALS as error:
            fail(context, str(error))
        identifier = identity.object_id(live)
        live = self._awaited(context, live, inputs, manager, request.timeout, say, "created")
        return provider_pb2.CreateResponse(id=identifier, properties=stored(live, inputs, manager))

    def Update(
        self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.UpdateResponse:
        """Apply the object and wait until it is ready."""
        inputs, token = Values(request.news), type_of(request.urn)
        old, obj = Values(request.olds).plain, inputs.plain
        if request.preview and (inputs.unknown or self._life is None):
            return provider_pb2.UpdateResponse(
                properties=encode(obj, check.secret_paths(obj, inputs.secrets))
            )
        life, say = self._reachable(context), self._say(request.urn)
        manager = life.manager(obj, old)
        try:
            obj = self._without_ignored(obj, tuple(request.ignoreChanges), manager)
            if request.preview:
                live = life.preview_update(obj, manager)
                return provider_pb2.UpdateResponse(
                    properties=encode(live, check.secret_paths(live, inputs.secrets))
                )
            live = life.update(token, obj, manager, str(old.get("__fieldManager", "")))
        except _REFUSALS as error:
            fail(context, str(error))
        live = self._awaited(context, live, inputs, manager, request.timeout, say, "updated")
        return provider_pb2.UpdateResponse(
            properties=stored(live, inputs, manager, str(old.get("__initialApiVersion", "")))
        )

    def Read(
        self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ReadResponse:
        """Return the live object for a refresh, an import or a `get`; an empty id when it is gone."""
        if self._life is None:
            if "deleteUnreachable" in self._configuration.flags:
                return provider_pb2.ReadResponse()
            if "skipUpdateUnreachable" in self._configuration.flags:
                return provider_pb2.ReadResponse(
                    id=request.id, properties=request.properties, inputs=request.inputs
                )
        life = self._reachable(context)
        known, old = Values(request.inputs), Values(request.properties)
        namespace, name = identity.parse_id(request.id)
        try:
            api_version, kind = identity.group_version_kind(type_of(request.urn))
            if namespace is None and identity.is_namespaced(
                kind, lambda: self._namespaced(api_version, kind)
            ):
                namespace = "default"
            live = life.read(api_version, kind, namespace, name)
        except (*_REFUSALS, httpx.HTTPError) as error:
            fail(context, f"reading {request.id}: {error}")
        if live is None:
            return provider_pb2.ReadResponse()
        described = known.plain or old.plain.get("__inputs") or {}
        inputs = compare.prune(live, described) if described else importable(live)
        secrets = check.secret_paths(inputs, known.secrets)
        manager = str(old.plain.get("__fieldManager") or life.manager(live, None))
        properties = stored(
            live, Values(encode(inputs, secrets)), manager, str(old.plain.get("__initialApiVersion", ""))
        )
        return provider_pb2.ReadResponse(
            id=identity.object_id(live), properties=properties, inputs=encode(inputs, secrets)
        )

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Delete the object and wait until it is gone."""
        if self._life is None and "deleteUnreachable" in self._configuration.flags:
            return empty_pb2.Empty()
        life, state = self._reachable(context), Values(request.properties).plain
        manager = str(state.get("__fieldManager", ""))
        try:
            life.delete(type_of(request.urn), state, manager, request.timeout, self._say(request.urn))
        except NotReady as error:
            fail(context, "; ".join(error.reasons))
        except (*_REFUSALS, httpx.HTTPError) as error:
            fail(context, f"deleting {request.id}: {error}")
        return empty_pb2.Empty()

    def _awaited(  # noqa: PLR0913, PLR0917 - what an answer is made of
        self,
        context: grpc.ServicerContext,
        live: Object,
        inputs: Values,
        manager: str,
        seconds: float,
        say: Callable[[str], None],
        done: str,
    ) -> Object:
        """Return the live object once it is ready, or end the call with what was reached so far."""
        life = self._reachable(context)
        try:
            return life.wait(live, seconds, say)
        except NotReady as error:
            reasons = [
                f"{live['kind']} {identity.object_id(live)} was {done} and is not ready: {error.reasons[0]}",
                *error.reasons[1:],
            ]
            init_failed(
                context,
                identity.object_id(live),
                stored(error.live, inputs, manager),
                encode(inputs.plain, check.secret_paths(inputs.plain, inputs.secrets)),
                reasons,
            )
        except (Cancelled, httpx.HTTPError, ApiError) as error:
            init_failed(
                context,
                identity.object_id(live),
                stored(live, inputs, manager),
                encode(inputs.plain, check.secret_paths(inputs.plain, inputs.secrets)),
                [str(error)],
            )

    def _without_ignored(self, obj: Object, ignored: tuple[str, ...], manager: str) -> Object:
        """Return `obj` with ignored fields as they are, and without those that only others own."""
        if not ignored or self._life is None:
            return obj
        live = self._life.read(
            obj["apiVersion"], obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"]
        )
        if live is None:
            return obj
        for path in ignored:
            obj = left_alone(obj, live, tuple(path.split(".")), manager)
        return obj

    def _namespaced(self, api_version: str, kind: str) -> bool | None:
        if self._api is None:
            return None
        try:
            return self._api.kind(api_version, kind).namespaced
        except Exception as error:  # noqa: BLE001 - whatever stands in the way, the kind is simply not known
            del error
            return None
