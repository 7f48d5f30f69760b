"""The engine's side: each call of Pulumi's provider contract, translated to the life of an object and back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import yaml
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc

from infra.provider import check, compare, identity
from infra.provider.api import Api, ApiError
from infra.provider.configuration import Configuration, configure
from infra.provider.lifecycle import Lifecycle, Options, RefusedError
from infra.provider.ownership import left_alone
from infra.provider.replies import fail, init_failed
from infra.provider.state import (
    another_cluster,
    detailed,
    importable,
    input_faults,
    stored,
    type_of,
)
from infra.provider.values import UNKNOWN, Values, encode
from infra.provider.waiting import Cancelled, NotReady, Waiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from pulumi.runtime.proto.engine_pb2_grpc import EngineStub

Object = dict[str, Any]
VERSION = "4.34.2"
"""The SDK asks for a plugin of its own version; this is the contract that is served."""

_REFUSALS = (RefusedError, identity.Refused, Cancelled, ApiError)


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """One provider instance.

    Args:
        engine: where log lines go; None in tests.
    """

    def __init__(self, engine: EngineStub | None) -> None:
        self._engine = engine
        self._stopped = threading.Event()
        self._configuration = Configuration(None, "not configured yet", "default", frozenset())
        self._api: Api | None = None
        self._life: Lifecycle | None = None

    # --- the provider itself
    # -----------------------------------------------------------------------------------------

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=VERSION)

    def Attach(self, request: plugin_pb2.PluginAttach, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Serve another run of the engine, which found this process running."""
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(request.address))
        self._stopped.clear()
        return empty_pb2.Empty()

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.GetSchemaResponse:  # noqa: ANN401 - the message has no type of its own
        return provider_pb2.GetSchemaResponse(schema='{"name":"kubernetes","version":"' + VERSION + '"}')

    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        """Replace the provider, and so all of its resources, when it points to another cluster."""
        old, new = Values(request.olds), Values(request.news)
        keys = [key for key in sorted({*old.plain, *new.plain}) if old.plain.get(key) != new.plain.get(key)]
        moved = [
            key
            for key in keys
            if key in ("kubeconfig", "context", "cluster") and another_cluster(old.plain, new.plain)
        ]
        changes = provider_pb2.DiffResponse.DIFF_SOME if keys else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=changes, diffs=keys, replaces=moved)

    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        arguments = {
            key: str(value)
            for key, value in Values(request.args).plain.items()
            if value not in (None, UNKNOWN)
        }
        prefix = "kubernetes:config:"
        arguments |= {
            key.removeprefix(prefix): value
            for key, value in request.variables.items()
            if key.startswith(prefix)
        }
        try:
            self._configuration = configure(arguments)
        except ValueError as error:
            fail(context, str(error))
        self._connect()
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=False, acceptOutputs=False
        )

    def _connect(self) -> None:
        if self._configuration.access is None:
            return
        api = Api(self._configuration.access)
        try:
            api.ping()
        except httpx.HTTPError as error:
            self._configuration = Configuration(
                None,
                f"{self._configuration.access.server}: {error}",
                self._configuration.namespace,
                self._configuration.flags,
            )
            return
        flags = self._configuration.flags
        options = Options(force="enablePatchForce" in flags, upsert="upsertExistingObjects" in flags)
        self._api, self._life = api, Lifecycle(api, Waiter(api, self._stopped), options)

    def close(self) -> None:
        """Close all connections."""
        if self._api is not None:
            self._api.close()

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """End all waiting."""
        self._stopped.set()
        return empty_pb2.Empty()

    def Invoke(
        self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.InvokeResponse:
        """Serve `yaml:decode`, which the SDK's ConfigFile and ConfigGroup stand on."""
        if request.tok != "kubernetes:yaml:decode":
            fail(context, str(identity.refuse(request.tok)))
        arguments = Values(request.args).plain
        documents = [each for each in yaml.safe_load_all(arguments.get("text", "")) if isinstance(each, dict)]
        objects = [each for each in documents if each.get("kind") and each.get("apiVersion")]
        namespace = arguments.get("defaultNamespace")
        for obj in objects:
            if namespace and obj["kind"] not in identity.CLUSTER_SCOPED:
                obj.setdefault("metadata", {}).setdefault("namespace", namespace)
        reply = {"return": encode({"result": objects})}
        return provider_pb2.InvokeResponse(**reply)  # type: ignore[arg-type]  # a keyword of the language

    def Construct(
        self, request: provider_pb2.ConstructRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConstructResponse:
        fail(context, str(identity.refuse(request.type)))

    # --- an object
    # ---------------------------------------------------------------------------------------------------

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

    # --- helpers
    # -----------------------------------------------------------------------------------------------------

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

    def _reachable(self, context: grpc.ServicerContext) -> Lifecycle:
        if self._life is None:
            fail(
                context,
                f"configured Kubernetes cluster is unreachable: {self._configuration.unreachable}. "
                "If it is gone for good, PULUMI_K8S_DELETE_UNREACHABLE=true lets its resources leave the state.",
            )
        return self._life

    def _say(self, urn: str) -> Callable[[str], None]:
        """Return a way to show a passing line beside the resource; the same line is sent once."""
        said = ""

        def say(line: str) -> None:
            nonlocal said
            if self._engine is None or line == said:
                return
            said = line
            self._engine.Log(
                engine_pb2.LogRequest(severity=engine_pb2.INFO, message=line, urn=urn, ephemeral=True)
            )

        return say
