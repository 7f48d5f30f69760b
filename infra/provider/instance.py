"""One provider of the engine's: its configuration, its connection, and what it says while it works."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import yaml
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc

from infra.provider import identity
from infra.provider.api import Api
from infra.provider.configuration import Configuration, configure
from infra.provider.lifecycle import Lifecycle, Options
from infra.provider.replies import fail
from infra.provider.state import another_cluster
from infra.provider.values import UNKNOWN, Values, encode
from infra.provider.waiting import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from pulumi.runtime.proto.engine_pb2_grpc import EngineStub

VERSION = "4.34.2"
"""The SDK asks for a plugin of its own version; this is the contract that is served."""


class Instance(provider_pb2_grpc.ResourceProviderServicer):
    """A provider: what it is told before any object, and its way to the cluster.

    Args:
        engine: where log lines go; None in tests.
    """

    def __init__(self, engine: EngineStub | None) -> None:
        self._engine = engine
        self._stopped = threading.Event()
        self._configuration = Configuration(None, "not configured yet", "default", frozenset())
        self._api: Api | None = None
        self._life: Lifecycle | None = None

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
