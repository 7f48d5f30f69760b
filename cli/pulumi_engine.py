"""The only module that talks to Pulumi: runs the program of a layer against its stack and returns the result.

One run at a time: the SDK keeps global state, and the layers build on each other. A lock on the environment's
folder excludes other runs on this machine. Therefore everything that a run finds of an earlier one (a stack's
lock, pending operations) was left by a crash and can be cleared.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hmac
import json
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulumi import automation as auto
from pulumi.automation._stack import StackInitMode
from pulumi.automation.errors import CommandError, ConcurrentUpdateError, StackNotFoundError

from cli.diagnostics import diagnose
from cli.pulumi_events import EngineRun, ResourceChange, ResourceFailure, strip_colours
from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cli.environment import Environment
    from cli.provider_process import ProviderProcess
    from infra.progress import ProgressStep

PROJECT = "esq"
CANCEL_TIMEOUT_SECONDS = 60.0
"""After Ctrl-C the engine has this long to end running operations and save its state."""
_MAX_DETAIL_LENGTH = 2_000


class DeployFailedError(EsqError):
    """A layer failed. Completed operations are kept, and the next run resumes."""


class EnvironmentLockedError(EsqError):
    """Another run uses the environment."""


@dataclass(frozen=True)
class StackResult:
    """Result of a run, or of its preview.

    Attributes:
        layer: name of the layer.
        changes: changed resources.
        counts: resources by operation.
        warnings: warnings of the engine and the provider.
        recovered: what was cleared after a crash of an earlier run; empty without one.
    """

    layer: str
    changes: tuple[ResourceChange, ...]
    counts: dict[str, int]
    warnings: tuple[str, ...] = ()
    recovered: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "layer": self.layer,
            "changes": self.counts,
            "resources": [asdict(change) for change in self.changes],
            "recovered": self.recovered,
        }


class _Stack(auto.Stack):
    """A stack without the SDK's queries before and after each run, each of which starts the engine (0.4 s).

    The run itself reports whether the stack exists.
    """

    def __init__(self, name: str, workspace: auto.Workspace) -> None:
        self.name = name
        self.workspace = workspace
        self._mode = StackInitMode.SELECT

    def outputs(self) -> dict[str, auto.OutputValue]:
        return {}

    def info(self, show_secrets: bool = True) -> auto.UpdateSummary | None:  # noqa: ARG002, FBT001, FBT002 - the SDK's signature
        now = dt.datetime.now(dt.UTC)
        return auto.UpdateSummary("update", now, "", {}, {}, "succeeded")


class PulumiEngine:
    """Runs the layers of one environment."""

    def __init__(
        self,
        environment: Environment,
        *,
        path: str,
        kubeconfig: Path,
        provider: ProviderProcess | None = None,
    ) -> None:
        """Create the environment's folder.

        Args:
            environment: owner of the stacks.
            path: PATH of the engine: its own program and the provider.
            kubeconfig: the cluster that the programs describe.
            provider: serves each run; None lets the engine start its own.
        """
        self._provider = provider
        self._kubeconfig = kubeconfig
        self.environment = environment
        self._work_dir = environment.folder / "stacks"
        self._environment_variables = {
            "PATH": path,
            "KUBECONFIG": str(kubeconfig),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(_passphrase_file(environment.folder)),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK": "true",
        }
        self._work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if environment.backend.startswith("file://"):
            Path(environment.backend.removeprefix("file://")).mkdir(parents=True, exist_ok=True, mode=0o700)

    def up(self, layer: str, program: Callable[[], None], step: ProgressStep) -> StackResult:
        """Deploy a layer; also corrects drift.

        Args:
            layer: name of the layer.
            program: declares its resources.
            step: shows the resources in progress.

        Returns:
            The changes made.

        Raises:
            DeployFailedError: a resource was rejected or did not become ready.
            EnvironmentLockedError: another run uses the environment.
        """
        return self._run(
            layer, program, step, "up", lambda stack: partial(stack.up, refresh=True, suppress_outputs=True)
        )

    def preview(self, layer: str, program: Callable[[], None], step: ProgressStep) -> StackResult:
        """Return the changes that `up` would make.

        Args:
            layer: name of the layer.
            program: declares its resources.
            step: shows the resources in progress.
        """
        return self._run(layer, program, step, "preview", lambda stack: partial(stack.preview, refresh=True))

    def drift(self, layer: str, step: ProgressStep) -> StackResult:
        """Compare the cluster with the last deploy; changes nothing.

        Args:
            layer: name of the layer.
            step: shows the resources in progress.

        Returns:
            The differences.
        """
        return self._run(layer, None, step, "drift", lambda stack: partial(stack.refresh, preview_only=True))

    def destroy(self, layer: str, step: ProgressStep) -> StackResult:
        """Delete all resources of a layer, then its stack.

        Args:
            layer: name of the layer.
            step: shows the resources in progress.

        Returns:
            The deleted resources.
        """
        result = self._run(layer, None, step, "destroy", lambda stack: stack.destroy)
        stack = self._stack(layer)
        with suppress(StackNotFoundError):
            stack.workspace.remove_stack(stack.name, force=True)
        self._fingerprint_file(layer).unlink(missing_ok=True)
        return result

    def get_config(self, layer: str) -> dict[str, str]:
        """Return the configuration of a layer's stack; empty when there is none."""
        prefix = f"{PROJECT}:"
        try:
            config = self._stack(layer).get_all_config()
        except StackNotFoundError:
            return {}
        return {key.removeprefix(prefix): value.value for key, value in config.items()}

    def set_config(self, layer: str, plain: Mapping[str, str], secret: Mapping[str, str]) -> None:
        """Save the configuration of a layer's stack, unless it is unchanged.

        Args:
            layer: name of the layer.
            plain: values by key.
            secret: values by key; saved encrypted.
        """
        file = self._fingerprint_file(layer)
        if file.is_file() and file.read_text() == self._config_fingerprint(layer, plain, secret):
            return
        values = {key: auto.ConfigValue(value) for key, value in plain.items()}
        values |= {key: auto.ConfigValue(value, secret=True) for key, value in secret.items()}
        stack = self._stack(layer)
        config = {f"{PROJECT}:{key}": value for key, value in values.items()}
        _with_stack(stack, partial(stack.set_all_config, config))
        file.write_text(self._config_fingerprint(layer, plain, secret))

    def _fingerprint_file(self, layer: str) -> Path:
        return self._work_dir / f"{layer}.configured"

    def _config_fingerprint(self, layer: str, plain: Mapping[str, str], secret: Mapping[str, str]) -> str:
        """Return a keyed hash of the values and of the stack's file; it reveals nothing of the values."""
        file = self._work_dir / f"Pulumi.{self.environment.name}-{layer}.yaml"
        content = file.read_bytes() if file.is_file() else b""
        values = json.dumps([dict(plain), dict(secret), self.environment.backend], sort_keys=True).encode()
        key = _passphrase_file(self.environment.folder).read_bytes()
        return hmac.new(key, content + values, "sha256").hexdigest()

    def _stack(
        self, layer: str, program: Callable[[], None] | None = None, *, running: bool = False
    ) -> _Stack:
        settings = auto.ProjectSettings(
            name=PROJECT, runtime="python", backend=auto.ProjectBackend(self.environment.backend)
        )
        attached = {"PULUMI_DEBUG_PROVIDERS": self._provider.attachment} if running and self._provider else {}
        # The SDK looks for the engine on this process's PATH, not on the one it is given.
        os.environ["PATH"] = self._environment_variables["PATH"]
        os.environ["PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK"] = "true"
        workspace = auto.LocalWorkspace(
            work_dir=str(self._work_dir),
            program=program,
            env_vars={**self._environment_variables, **attached},
            project_settings=settings,
        )
        return _Stack(f"{self.environment.name}-{layer}", workspace)

    def _run(
        self,
        layer: str,
        program: Callable[[], None] | None,
        step: ProgressStep,
        verb: str,
        method: Callable[[auto.Stack], Callable[..., Any]],
    ) -> StackResult:
        run = EngineRun(step.set_status)
        with self._locked(verb):
            stack = self._stack(layer, program, running=True)
            action = partial(method(stack), on_event=run.handle, color="never")
            try:
                recovered = self._recover_from_crash(stack, layer, step)
                with self._provider_lifetime(), self._crash_marker(layer):
                    _run_interruptible(
                        action if program is None else partial(_with_stack, stack, action), step
                    )
            except StackNotFoundError:
                return StackResult(layer, (), {})
            except CommandError as error:
                raise self._to_error(error, run, layer, verb) from error
        return StackResult(layer, tuple(run.changes), run.counts, tuple(run.warnings), recovered)

    def _recover_from_crash(self, stack: auto.Stack, layer: str, step: ProgressStep) -> str:
        """Clear what a crashed run left: the stack's lock and its pending operations."""
        if not self._marker_file(layer).exists():
            return ""
        step.set_status("clearing the state of an interrupted run")
        try:
            stack.cancel()
        except StackNotFoundError:
            # The run was interrupted before it created the stack.
            self._marker_file(layer).unlink()
            return ""
        deployment = dict(stack.export_stack().deployment or {})
        pending = deployment.pop("pending_operations", None)
        if pending:
            # Resources that these operations created are found by name: the provider patches existing ones.
            stack.import_stack(auto.Deployment(version=3, deployment=deployment))
        self._marker_file(layer).unlink()
        cleared = f"{len(pending)} pending operations" if pending else "its lock"
        return f"an earlier run was interrupted; cleared {cleared}"

    def _marker_file(self, layer: str) -> Path:
        return self._work_dir / f"{layer}.running"

    @contextmanager
    def _crash_marker(self, layer: str) -> Iterator[None]:
        """Create a marker file that remains only when the engine does not end by itself."""
        self._marker_file(layer).touch(mode=0o600)
        try:
            yield
        except CommandError:
            self._marker_file(layer).unlink(missing_ok=True)
            raise
        self._marker_file(layer).unlink(missing_ok=True)

    @contextmanager
    def _provider_lifetime(self) -> Iterator[None]:
        """Stop the provider after a run: the engine cancels it, after which it rejects further work."""
        try:
            yield
        finally:
            if self._provider is not None:
                self._provider.close()

    @contextmanager
    def _locked(self, verb: str) -> Iterator[None]:
        """Lock the environment; the kernel releases the lock when this process dies."""
        with (self._work_dir / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise EnvironmentLockedError(
                    f"another run uses `{self.environment.name}`: {lock.read().strip()}",
                    location=lock.name,
                    remedy="Wait until it ends, then repeat the command.",
                ) from None
            lock.truncate(0)
            lock.write(f"{verb}, process {os.getpid()}")
            lock.flush()
            yield

    def _to_error(self, error: CommandError, run: EngineRun, layer: str, verb: str) -> EsqError:
        name = self.environment.name
        if isinstance(error, ConcurrentUpdateError):
            return EnvironmentLockedError(
                f"the stack {name}-{layer} is locked by a run on another machine",
                location=self.environment.backend,
                remedy=f"Wait until it ends; if it is dead: `pulumi cancel --stack {name}-{layer}` there.",
            )
        failures = list(run.failures.values())
        message = f"layer {layer} failed" if verb == "up" else f"{verb} of {layer} failed"
        if failures:
            message += f": {', '.join(failure.resource for failure in failures)}"
        lines = [
            f"- {failure.resource}: {reason}"
            for failure in failures
            for reason in (*failure.reasons, *(self._diagnosis(failure) if verb == "up" else ()))
        ]
        lines += [f"- {text}" for text in run.errors]
        command = {"up": "deploy", "preview": "preview"}.get(verb, verb)
        return DeployFailedError(
            message,
            location=f"stack {name}-{layer}",
            remedy=f"Correct the problem and repeat `esq {command} {name}`: it resumes.",
            detail="\n".join(lines) or strip_colours(str(error))[-_MAX_DETAIL_LENGTH:],
        )

    def _diagnosis(self, failure: ResourceFailure) -> list[str]:
        """Return the state of the object in the cluster, without what the provider reported already."""
        if failure.reference is None:
            return []
        entries = diagnose(self._kubeconfig, failure.reference)
        return [entry for entry in entries if not any(entry in reason for reason in failure.reasons)]


def _with_stack(stack: _Stack, action: Callable[[], Any]) -> None:
    """Run an action; create the stack first when it does not exist."""
    try:
        action()
    except StackNotFoundError:
        stack.workspace.create_stack(stack.name)
        action()


def _run_interruptible(action: Callable[[], Any], step: ProgressStep) -> None:
    """Run an action; after Ctrl-C wait for the engine, which also received it, to stop safely."""
    with ThreadPoolExecutor(1, thread_name_prefix="engine") as pool:
        future = pool.submit(action)
        try:
            future.result()
        except KeyboardInterrupt:
            step.set_status("the engine to stop safely (Ctrl-C again to stop waiting)")
            with suppress(CommandError, TimeoutError):
                future.result(CANCEL_TIMEOUT_SECONDS)
            raise


def _passphrase_file(folder: Path) -> Path:
    """Return the file of the passphrase that encrypts the stacks' secrets; created once, owner-only."""
    file = folder / "passphrase"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileExistsError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(secrets.token_urlsafe(32))
    return file
