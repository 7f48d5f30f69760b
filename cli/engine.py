"""The only place that talks to Pulumi: runs a layer's program against a stack, and tells what came of it.

One run at a time: the SDK keeps global state, and the layers build on each other. A lock on the environment's
folder keeps other runs on this machine away; because of it, what a run finds of a run before (a stack's lock,
operations half done) was left by a crash, and can be cleared.
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

from cli.events import Change, Run, clean
from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cli.environment import Environment
    from infra.progress import ProgressStep
    from infra.provider import ProviderServer

PROJECT = "esq"
STOP_SECONDS = 60.0
"""After Ctrl-C the engine has this long to end what is under way and write down where it is."""
_TAIL = 2_000


class DeployFailedError(EsqError):
    """A layer could not be brought where it should be; what was reached stays, and the next run continues."""


class BusyError(EsqError):
    """Another run is at work on the environment."""


@dataclass(frozen=True)
class Outcome:
    """What a run did, or would do.

    Attributes:
        layer: name of the layer.
        changes: each resource that is not the same.
        counts: resources by operation.
        warnings: what the engine or the provider warned of.
        recovered: what was cleared away of a run before that crashed; empty when nothing was.
    """

    layer: str
    changes: tuple[Change, ...]
    counts: dict[str, int]
    warnings: tuple[str, ...] = ()
    recovered: str = ""

    def report(self) -> dict[str, Any]:
        """Return the outcome as plain values."""
        return {
            "layer": self.layer,
            "changes": self.counts,
            "resources": [asdict(change) for change in self.changes],
            "recovered": self.recovered,
        }


class _Stack(auto.Stack):
    """Leaves out what the SDK asks before and after each run: each question starts the engine anew (0.4 s).

    Whether the stack is there, the run itself tells.
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


class Engine:
    """Runs layers of one environment."""

    def __init__(
        self, environment: Environment, *, path: str, kubeconfig: Path, provider: ProviderServer | None = None
    ) -> None:
        """Prepare the environment's folder.

        Args:
            environment: whose stacks.
            path: PATH of the engine: its own program, and the provider where the official one is missing.
            kubeconfig: the cluster that the programs describe.
            provider: serves all runs, where the official one is missing; None lets the engine start its own.
        """
        self._provider = provider
        self.environment = environment
        self._work = environment.folder / "stacks"
        self._variables = {
            "PATH": path,
            "KUBECONFIG": str(kubeconfig),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(_passphrase(environment.folder)),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK": "true",
        }
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        if environment.backend.startswith("file://"):
            Path(environment.backend.removeprefix("file://")).mkdir(parents=True, exist_ok=True, mode=0o700)

    def up(self, layer: str, program: Callable[[], None], step: ProgressStep) -> Outcome:
        """Bring the layer to what `program` declares, whatever has become of it since the last time.

        Raises:
            DeployFailedError: a resource was refused or did not become ready.
            BusyError: another run is at work.
        """
        return self._run(
            layer, program, step, "up", lambda stack: partial(stack.up, refresh=True, suppress_outputs=True)
        )

    def preview(self, layer: str, program: Callable[[], None], step: ProgressStep) -> Outcome:
        """Say what `up` would do."""
        return self._run(layer, program, step, "preview", lambda stack: partial(stack.preview, refresh=True))

    def drift(self, layer: str, step: ProgressStep) -> Outcome:
        """Compare the cluster with what was deployed last; nothing is changed."""
        return self._run(layer, None, step, "drift", lambda stack: partial(stack.refresh, preview_only=True))

    def destroy(self, layer: str, step: ProgressStep) -> Outcome:
        """Remove all resources of the layer, then its stack."""
        outcome = self._run(layer, None, step, "destroy", lambda stack: stack.destroy)
        stack = self._stack(layer)
        with suppress(StackNotFoundError):
            stack.workspace.remove_stack(stack.name, force=True)
        self._sealed(layer).unlink(missing_ok=True)
        return outcome

    def configuration(self, layer: str) -> dict[str, str]:
        """Return the configuration that was kept with the layer; empty when there is none."""
        prefix = f"{PROJECT}:"
        try:
            kept = self._stack(layer).get_all_config()
        except StackNotFoundError:
            return {}
        return {key.removeprefix(prefix): value.value for key, value in kept.items()}

    def configure(self, layer: str, plain: Mapping[str, str], secret: Mapping[str, str]) -> None:
        """Keep configuration with the layer, the secret part encrypted; nothing is done when it is there."""
        seal = self._sealed(layer)
        if seal.is_file() and seal.read_text() == self._seal(layer, plain, secret):
            return
        values = {key: auto.ConfigValue(value) for key, value in plain.items()}
        values |= {key: auto.ConfigValue(value, secret=True) for key, value in secret.items()}
        stack = self._stack(layer)
        named = {f"{PROJECT}:{key}": value for key, value in values.items()}
        _made(stack, partial(stack.set_all_config, named))
        seal.write_text(self._seal(layer, plain, secret))

    def _sealed(self, layer: str) -> Path:
        return self._work / f"{layer}.configured"

    def _seal(self, layer: str, plain: Mapping[str, str], secret: Mapping[str, str]) -> str:
        """Return what tells that these values are what the stack's file holds, and nothing of the values."""
        file = self._work / f"Pulumi.{self.environment.name}-{layer}.yaml"
        content = file.read_bytes() if file.is_file() else b""
        values = json.dumps([dict(plain), dict(secret), self.environment.backend], sort_keys=True).encode()
        key = _passphrase(self.environment.folder).read_bytes()
        return hmac.new(key, content + values, "sha256").hexdigest()

    def _stack(
        self, layer: str, program: Callable[[], None] | None = None, *, running: bool = False
    ) -> _Stack:
        settings = auto.ProjectSettings(
            name=PROJECT, runtime="python", backend=auto.ProjectBackend(self.environment.backend)
        )
        attached = {"PULUMI_DEBUG_PROVIDERS": self._provider.attachment} if running and self._provider else {}
        # The SDK looks for the engine on this process's PATH, not on the one it is given.
        os.environ["PATH"] = self._variables["PATH"]
        os.environ["PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK"] = "true"
        workspace = auto.LocalWorkspace(
            work_dir=str(self._work),
            program=program,
            env_vars={**self._variables, **attached},
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
    ) -> Outcome:
        run = Run(step.set_status)
        with self._alone(verb):
            stack = self._stack(layer, program, running=True)
            recovered = self._recover(stack, layer, step)
            action = partial(method(stack), on_event=run.take, color="never")
            try:
                with self._marked(layer):
                    _patiently(action if program is None else partial(_made, stack, action), step)
            except StackNotFoundError:
                return Outcome(layer, (), {})
            except CommandError as error:
                raise self._told(error, run, layer, verb) from error
        return Outcome(layer, tuple(run.changes), run.counts, tuple(run.warnings), recovered)

    def _recover(self, stack: auto.Stack, layer: str, step: ProgressStep) -> str:
        """Clear what a crashed run left: the stack's lock, and operations that nobody will end."""
        if not self._marker(layer).exists():
            return ""
        step.set_status("clearing what a run before left half done")
        stack.cancel()
        deployment = dict(stack.export_stack().deployment or {})
        pending = deployment.pop("pending_operations", None)
        if pending:
            # Objects that they made are found again by name: the provider applies, whatever is there.
            stack.import_stack(auto.Deployment(version=3, deployment=deployment))
        self._marker(layer).unlink()
        left = f"{len(pending)} operations half done" if pending else "its lock"
        return f"a run before was cut off; cleared {left}"

    def _marker(self, layer: str) -> Path:
        return self._work / f"{layer}.running"

    @contextmanager
    def _marked(self, layer: str) -> Iterator[None]:
        """Leave a mark while the engine runs, and whenever it did not end by itself."""
        self._marker(layer).touch(mode=0o600)
        try:
            yield
        except CommandError:
            self._marker(layer).unlink(missing_ok=True)
            raise
        self._marker(layer).unlink(missing_ok=True)

    @contextmanager
    def _alone(self, verb: str) -> Iterator[None]:
        """Hold the environment's lock, which the kernel drops when this process dies."""
        with (self._work / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise BusyError(
                    f"another run is at work on `{self.environment.name}`: {lock.read().strip()}",
                    location=lock.name,
                    remedy="Wait for it to end, then repeat the command.",
                ) from None
            lock.truncate(0)
            lock.write(f"{verb}, process {os.getpid()}")
            lock.flush()
            yield

    def _told(self, error: CommandError, run: Run, layer: str, verb: str) -> EsqError:
        name = self.environment.name
        if isinstance(error, ConcurrentUpdateError):
            return BusyError(
                f"the stack {name}-{layer} is locked by a run elsewhere",
                location=self.environment.backend,
                remedy=f"Wait for it; if it is dead: `pulumi cancel --stack {name}-{layer}` on that backend.",
            )
        failures = list(run.failures.values())
        what = f"the layer {layer} could not be finished" if verb == "up" else f"{verb} of {layer} failed"
        if failures:
            what += f": {', '.join(failure.resource for failure in failures)}"
        told = [f"- {failure.resource}: {reason}" for failure in failures for reason in failure.reasons]
        told += [f"- {message}" for message in run.errors]
        again = {"up": "deploy", "preview": "preview"}.get(verb, verb)
        return DeployFailedError(
            what,
            location=f"stack {name}-{layer}",
            remedy=f"Put it right and repeat `esq {again} {name}`: it goes on from what was reached.",
            detail="\n".join(told) or clean(str(error))[-_TAIL:],
        )


def _made(stack: _Stack, action: Callable[[], Any]) -> None:
    """Run `action`, making the stack first when it turns out not to be there."""
    try:
        action()
    except StackNotFoundError:
        stack.workspace.create_stack(stack.name)
        action()


def _patiently(action: Callable[[], Any], step: ProgressStep) -> None:
    """Run `action`; after Ctrl-C let the engine, which heard it too, stop where it is safe."""
    with ThreadPoolExecutor(1, thread_name_prefix="engine") as pool:
        future = pool.submit(action)
        try:
            future.result()
        except KeyboardInterrupt:
            step.set_status("the engine to stop at a safe point (Ctrl-C again to give up waiting)")
            with suppress(CommandError, TimeoutError):
                future.result(STOP_SECONDS)
            raise


def _passphrase(folder: Path) -> Path:
    """Return the file of the passphrase that encrypts the stacks' secrets; made once, for its owner only."""
    file = folder / "passphrase"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileExistsError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(secrets.token_urlsafe(32))
    return file
