"""The engine's side: each call of Pulumi's provider contract, translated to the life of an object and back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import yaml
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, plugin_pb2, provider_pb2, provider_pb2_grpc

from infra.provider import check, compare, identity
from infra.provider.api import Api, ApiError
from infra.provider.configuration import Configuration, configure
from infra.provider.kubeconfig import UnreachableError, load
from infra.provider.lifecycle import Lifecycle, Options, RefusedError
from infra.provider.replies import fail, init_failed
from infra.provider.values import UNKNOWN, Values, encode
from infra.provider.waiting import Cancelled, NotReady, Waiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.struct_pb2 import Struct
    from pulumi.runtime.proto.engine_pb2_grpc import EngineStub

Object = dict[str, Any]
VERSION = "4.34.2"
"""The SDK asks for a plugin of its own version; this is the contract that is served."""

_READ_INPUTS_WITHOUT = ("status",)
_SERVER_ANNOTATIONS = (
    "deployment.kubernetes.io/revision",
    "kubectl.kubernetes.io/last-applied-configuration",
)
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

    # --- the provider itself -----------------------------------------------------------------------------------------

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:  # noqa: ARG002, N802, D102
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.GetSchemaResponse:  # noqa: ANN401, ARG002, N802, D102
        return provider_pb2.GetSchemaResponse(schema='{"name":"kubernetes","version":"' + VERSION + '"}')

    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:  # noqa: ARG002, N802, D102
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:  # noqa: ARG002, N802
        """Replace the provider, and so all of its resources, when it points to another cluster."""
        old, new = Values(request.olds), Values(request.news)
        keys = [key for key in sorted({*old.plain, *new.plain}) if old.plain.get(key) != new.plain.get(key)]
        moved = [
            key
            for key in keys
            if key in ("kubeconfig", "context", "cluster") and _elsewhere(old.plain, new.plain)
        ]
        changes = provider_pb2.DiffResponse.DIFF_SOME if keys else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=changes, diffs=keys, replaces=moved)

    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:  # noqa: N802, D102
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

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: ARG002, N802
        """End all waiting."""
        self._stopped.set()
        return empty_pb2.Empty()

    def Invoke(
        self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.InvokeResponse:  # noqa: N802
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
    ) -> provider_pb2.ConstructResponse:  # noqa: N802, D102
        fail(context, str(identity.refuse(request.type)))

    # --- an object ---------------------------------------------------------------------------------------------------

    def Check(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:  # noqa: N802
        """Fill in what the program left out."""
        token = _type(request.urn)
        olds, news = Values(request.olds), Values(request.news)
        try:
            api_version, kind = identity.group_version_kind(token)
        except identity.Refused as error:
            fail(context, str(error))
        faults = _input_faults(token, news.plain)
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
    ) -> provider_pb2.DiffResponse:  # noqa: ARG002, N802
        """Compare what is known of the live object, cut to what was described, with what is described now."""
        state = Values(request.olds).plain
        old = Values(request.old_inputs).plain or state.get("__inputs") or {}
        new = Values(request.news).plain
        before = {key: each for key, each in (compare.prune(state, old) or {}).items() if key != "apiVersion"}
        after = {key: each for key, each in new.items() if key != "apiVersion"}
        group, kind = new["apiVersion"].rpartition("/")[0], new["kind"]
        mutable = f"enable{kind}Mutable" in self._configuration.flags
        patch = identity.is_patch(_type(request.urn))
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
                compare.dotted(path): _detail(how, compare.dotted(path) in replaces) for path, how in found
            },
        )

    def Create(
        self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CreateResponse:  # noqa: N802
        """Create the object and wait until it is ready."""
        inputs, token = Values(request.properties), _type(request.urn)
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
        return provider_pb2.CreateResponse(id=identifier, properties=_state(live, inputs, manager))

    def Update(
        self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.UpdateResponse:  # noqa: N802
        """Apply the object and wait until it is ready."""
        inputs, token = Values(request.news), _type(request.urn)
        old, obj = Values(request.olds).plain, inputs.plain
        if request.preview and (inputs.unknown or self._life is None):
            return provider_pb2.UpdateResponse(
                properties=encode(obj, check.secret_paths(obj, inputs.secrets))
            )
        life, say = self._reachable(context), self._say(request.urn)
        manager = life.manager(obj, old)
        try:
            obj = self._without_ignored(obj, tuple(request.ignoreChanges), old, manager)
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
            properties=_state(live, inputs, manager, str(old.get("__initialApiVersion", "")))
        )

    def Read(
        self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ReadResponse:  # noqa: N802
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
            api_version, kind = identity.group_version_kind(_type(request.urn))
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
        inputs = compare.prune(live, described) if described else _importable(live)
        secrets = check.secret_paths(inputs, known.secrets)
        manager = str(old.plain.get("__fieldManager") or life.manager(live, None))
        properties = _state(
            live, Values(encode(inputs, secrets)), manager, str(old.plain.get("__initialApiVersion", ""))
        )
        return provider_pb2.ReadResponse(
            id=identity.object_id(live), properties=properties, inputs=encode(inputs, secrets)
        )

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        """Delete the object and wait until it is gone."""
        if self._life is None and "deleteUnreachable" in self._configuration.flags:
            return empty_pb2.Empty()
        life, state = self._reachable(context), Values(request.properties).plain
        manager = str(state.get("__fieldManager", ""))
        try:
            life.delete(_type(request.urn), state, manager, request.timeout, self._say(request.urn))
        except NotReady as error:
            fail(context, "; ".join(error.reasons))
        except (*_REFUSALS, httpx.HTTPError) as error:
            fail(context, f"deleting {request.id}: {error}")
        return empty_pb2.Empty()

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _awaited(  # noqa: PLR0913 - what an answer is made of
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
                _state(error.live, inputs, manager),
                encode(inputs.plain, check.secret_paths(inputs.plain, inputs.secrets)),
                reasons,
            )
        except (Cancelled, httpx.HTTPError, ApiError) as error:
            init_failed(
                context,
                identity.object_id(live),
                _state(live, inputs, manager),
                encode(inputs.plain, check.secret_paths(inputs.plain, inputs.secrets)),
                [str(error)],
            )

    def _without_ignored(self, obj: Object, ignored: tuple[str, ...], old: Object, manager: str) -> Object:
        """Return `obj` without ignored fields that another manager owns, so that applying it takes nothing from them."""
        if not ignored or self._life is None:
            return obj
        live = self._life.read(
            obj["apiVersion"], obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"]
        )
        if live is None:
            return obj
        for path in ignored:
            obj = _with_live(obj, live, tuple(path.split(".")), manager)
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


def _type(urn: str) -> str:
    """Return the type token of a resource, without its parents'."""
    return urn.split("::")[2].rpartition("$")[2]


def _elsewhere(old: Object, new: Object) -> bool:
    def cluster(arguments: Object) -> object:
        try:
            return load(
                arguments.get("kubeconfig", ""), arguments.get("context", ""), arguments.get("cluster", "")
            ).identity
        except UnreachableError:
            return None

    return cluster(old) != cluster(new)


def _input_faults(token: str, obj: Object) -> list[provider_pb2.CheckFailure]:
    metadata = obj.get("metadata") or {}
    faults = []
    if isinstance(metadata, dict) and metadata.get("generateName") and not metadata.get("name"):
        reason = "generateName is not supported with server-side apply: leave it out for a name made of the resource's"
        faults.append(provider_pb2.CheckFailure(property="metadata.generateName", reason=reason))
    if identity.is_patch(token) and not (isinstance(metadata, dict) and metadata.get("name")):
        faults.append(
            provider_pb2.CheckFailure(property="metadata.name", reason="a Patch resource names its object")
        )
    return faults


def _detail(how: str, replacing: bool) -> provider_pb2.PropertyDiff:  # noqa: FBT001 - the second word of the kind
    name = f"{how.upper()}_REPLACE" if replacing else how.upper()
    return provider_pb2.PropertyDiff(kind=provider_pb2.PropertyDiff.Kind.Value(name), inputDiff=True)


def _state(live: Object, inputs: Values, manager: str, initial: str = "") -> Struct:
    """Return what is kept of an object: all of it but the bookkeeping of field owners, and how it was described."""
    described = inputs.plain
    metadata = {key: each for key, each in live["metadata"].items() if key != "managedFields"}
    state = {
        **live,
        "metadata": metadata,
        "__inputs": described,
        "__initialApiVersion": initial or live["apiVersion"],
        "__fieldManager": manager,
    }
    secrets = check.secret_paths(live, inputs.secrets)
    hidden = {("__inputs", *path) for path in check.secret_paths(described, inputs.secrets)}
    return encode(state, secrets | hidden)


def _importable(live: Object) -> Object:
    """Return how an object that nobody described would be described."""
    metadata = {key: each for key, each in live["metadata"].items() if key not in check.READ_ONLY}
    annotations = {
        key: each
        for key, each in (metadata.get("annotations") or {}).items()
        if key not in _SERVER_ANNOTATIONS
    }
    metadata = (
        {**metadata, "annotations": annotations}
        if annotations
        else {k: v for k, v in metadata.items() if k != "annotations"}
    )
    return {
        **{key: each for key, each in live.items() if key not in _READ_INPUTS_WITHOUT},
        "metadata": metadata,
    }


def _with_live(obj: Object, live: Object, path: tuple[str, ...], manager: str) -> Object:
    """Return `obj` without the field at `path` when others own it, with the live value when we do."""
    head, rest = path[0], path[1:]
    if head not in obj:
        return obj
    if rest:
        below, there = obj[head], live.get(head)
        if not isinstance(below, dict) or not isinstance(there, dict):
            return obj
        ours = [
            e.get("fieldsV1", {})
            for e in live.get("metadata", {}).get("managedFields", [])
            if e["manager"] == manager
        ]
        del ours
        return {**obj, head: _with_live(below, there, rest, manager)}
    return {key: each for key, each in obj.items() if key != head} if head in live else obj
