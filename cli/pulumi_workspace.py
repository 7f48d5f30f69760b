"""Where the engine works: its folder, its variables, the files of the stacks, and the key of their secrets.

The folder can be empty on any machine: the backend holds everything, also which secrets provider a stack has.
"""

from __future__ import annotations

import datetime as dt
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import yaml
from pulumi import automation as auto
from pulumi.automation._stack import StackInitMode
from pulumi.automation.errors import CommandError, StackNotFoundError

from cli.backend_lock import without_dead_locks
from cli.engine_process import EngineCommand
from cli.engine_results import MAX_DETAIL_LENGTH, command_failure
from cli.pulumi_events import strip_colours
from cli.secrets_key import SecretsKey
from infra.errors import EsqError
from infra.stack_settings import Layer
from stacks import environment_stack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cli.environment import Environment

PROJECT = "esq"
_STATE_VERSION = 3
"""Version of exported states."""
_LAYERS = frozenset({*map(str, Layer), environment_stack.LAYER})


class Stack(auto.Stack):
    """A stack without the SDK's queries before and after each run, each of which starts the engine (0.3 s).

    The run itself reports whether the stack exists.
    """

    def __init__(self, name: str, workspace: auto.LocalWorkspace) -> None:
        self.name = name
        self.workspace = workspace
        self._mode = StackInitMode.SELECT

    def outputs(self) -> dict[str, auto.OutputValue]:
        """Return nothing."""
        return {}

    def info(self, show_secrets: bool = True) -> auto.UpdateSummary | None:  # noqa: ARG002, FBT001, FBT002 - the SDK's signature
        """Return a summary without content."""
        now = dt.datetime.now(dt.UTC)
        return auto.UpdateSummary("update", now, "", {}, {}, "succeeded")


class PulumiWorkspace:
    """Workspace of one environment.

    Args:
        environment: owner of the stacks.
        path: PATH of the engine: its own program and the provider.
        kubeconfig: the cluster that the programs describe.
    """

    def __init__(self, environment: Environment, *, path: str, kubeconfig: Path) -> None:
        self.environment = environment
        self.command = EngineCommand(path)
        self.folder = environment.folder / "stacks"
        self._key = SecretsKey(environment, self.layers)
        self._variables = {
            "PATH": path,
            "KUBECONFIG": str(kubeconfig),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            # A machine that has not deployed the stack yet takes the secrets provider from the stack.
            "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
        }
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if environment.backend.startswith("file://"):
            backend = Path(unquote(urlsplit(environment.backend).path))
            backend.mkdir(parents=True, exist_ok=True, mode=0o700)

    def stack_name(self, layer: str) -> str:
        """Return the name of a layer's stack."""
        return f"{self.environment.name}-{layer}"

    def stack(
        self,
        layer: str,
        program: Callable[[], None] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Stack:
        """Return the stack of a layer, existing or not; creates the passphrase of a new environment.

        Args:
            layer: name of the layer.
            program: declares its resources.
            variables: further variables of the engine.

        Raises:
            PassphraseError: the backend has stacks of the environment, but their passphrase is not here.
        """
        key = self._key.variables()
        backend = self.environment.backend
        return self._stack(layer, backend, {**key, **(variables or {})}, program)

    def scratch_stack(
        self, layer: str, program: Callable[[], None], variables: Mapping[str, str], backend: Path
    ) -> Stack:
        """Return an empty stack in a backend of its own: to preview a layer that has no stack yet.

        Args:
            layer: name of the layer.
            program: declares its resources.
            variables: further variables of the engine.
            backend: empty folder, which also becomes the working directory.
        """
        key = {"PULUMI_CONFIG_PASSPHRASE": "scratch"}
        stack = self._stack(layer, backend.as_uri(), {**key, **variables}, program, folder=backend)
        stack.workspace.create_stack(stack.name)
        return stack

    def outputs(self, layer: str) -> dict[str, Any]:
        """Return the outputs of a stack with its secrets in clear; empty without the stack.

        Raises:
            EsqError: the backend or the secrets provider rejects the request.
        """
        return dict(self._read(layer, "output", "--json", "--show-secrets") or {})

    def layers(self) -> frozenset[str]:
        """Return the layers of this environment that have a stack in the backend.

        Raises:
            EsqError: the backend rejects the request.
        """
        prefix = self.stack_name("")
        try:
            stacks = json.loads(self._query(["stack", "ls", "--json", "--project", PROJECT], {}))
        except CommandError as error:
            raise self.failure(error, "") from error
        names = [summary["name"].rpartition("/")[2] for summary in stacks]
        layers = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
        # The name of another environment may begin with this one's.
        return _LAYERS & layers

    def has_key(self) -> bool:
        """Return whether secrets can be read here: False while the backend has no stack of the environment.

        Raises:
            PassphraseError: it has stacks, but their passphrase is not here.
        """
        return self._key.existing_variables() is not None

    def export_state(self, layer: str) -> dict[str, Any]:
        """Return the state of a stack, its secrets encrypted; empty without the stack.

        Raises:
            EsqError: the backend rejects the request.
        """
        state = self._read(layer, "export") or {}
        return dict(state.get("deployment") or {})

    def history(self, layer: str, count: int) -> list[dict[str, Any]]:
        """Return the last runs of the engine in a stack, newest first; empty without the stack.

        Args:
            layer: name of the layer.
            count: maximum number of runs.

        Raises:
            EsqError: the backend rejects the request.
        """
        runs = self._read(layer, "history", "--json", "--page-size", str(count), "--page", "1")
        return list(runs or ())

    def import_state(self, layer: str, state: Mapping[str, Any]) -> None:
        """Replace the state of a stack.

        Args:
            layer: name of the layer.
            state: as `export_state` returns it.

        Raises:
            EsqError: the backend rejects the request.
        """
        stack = self.stack(layer)
        content = json.dumps({"version": _STATE_VERSION, "deployment": dict(state)})
        arguments = ["stack", "import", "--stack", stack.name]
        action = partial(
            self.command.run, arguments, str(self.folder), stack.workspace.env_vars, stdin=content
        )
        try:
            without_dead_locks(stack, action)
        except CommandError as error:
            raise self.failure(error, layer) from error

    def write_config(self, layer: str, values: Mapping[str, str]) -> None:
        """Write the configuration of a layer's stack: plain values, read by `pulumi up`.

        The file keeps a key of the stack's secrets, which exists nowhere else until the first run. It does
        not keep the salt of a passphrase, which may be that of a deleted stack; the engine adds the present.

        Args:
            layer: name of the layer.
            values: values by key.
        """
        file = self.folder / f"Pulumi.{self.stack_name(layer)}.yaml"
        saved = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}) if file.is_file() else {}
        content = {key: saved[key] for key in ("secretsprovider", "encryptedkey") if key in saved}
        content["config"] = {f"{PROJECT}:{key}": value for key, value in values.items()}
        file.write_text(yaml.safe_dump(content), encoding="utf-8")

    def failure(self, error: CommandError, layer: str) -> EsqError:
        """Return the failure of a query or a command on a stack.

        Args:
            error: error of the engine.
            layer: name of the layer.
        """
        name = self.stack_name(layer)
        return command_failure(error, name) or EsqError(
            f"the stacks of `{self.environment.name}` cannot be used",
            location=self.environment.backend,
            remedy="Check that the backend can be reached from here, and repeat the command.",
            detail=strip_colours(str(error))[-MAX_DETAIL_LENGTH:],
        )

    def _read(self, layer: str, *command: str) -> Any:  # noqa: ANN401 - any JSON
        """Return the JSON that a command prints about a stack; None without the stack."""
        key = self._key.existing_variables()
        if key is None:
            return None
        try:
            return json.loads(self._query(["stack", *command, "--stack", self.stack_name(layer)], key))
        except StackNotFoundError:
            return None
        except CommandError as error:
            raise self.failure(error, layer) from error

    def _query(self, arguments: list[str], key: Mapping[str, str]) -> str:
        stack = self._stack("", self.environment.backend, key)
        return self.command.run(arguments, str(self.folder), stack.workspace.env_vars).stdout

    def _stack(
        self,
        layer: str,
        backend: str,
        variables: Mapping[str, str],
        program: Callable[[], None] | None = None,
        folder: Path | None = None,
    ) -> Stack:
        url = _engine_url(backend)
        workspace = auto.LocalWorkspace(
            work_dir=str(folder or self.folder),
            program=program,
            # A variable of the user's shell would have precedence over the project.
            env_vars={**self._variables, **variables, "PULUMI_BACKEND_URL": url},
            project_settings=auto.ProjectSettings(
                name=PROJECT, runtime="python", backend=auto.ProjectBackend(url)
            ),
            secrets_provider=None if folder else self._key.service_url,
            pulumi_command=self.command,
        )
        return Stack(self.stack_name(layer), workspace)


def _engine_url(backend: str) -> str:
    """Return the URL for the engine: without files of attributes beside the files of a folder.

    They are not needed, and the only ones that are not replaced atomically: a killed engine leaves an
    empty one, after which the stack cannot be read any more.
    """
    is_folder = backend.startswith("file://") and "?" not in backend
    return f"{backend}?metadata=skip" if is_folder else backend
