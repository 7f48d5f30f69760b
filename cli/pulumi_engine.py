"""Runs the program of a layer against its stack and returns the result.

One run at a time: the SDK keeps global state, and the layers build on each other. The environment's lock
(`cli.environment_lock`) excludes other runs; whoever changes an environment holds it.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulumi.automation.errors import CommandError, StackNotFoundError

from cli.backend_lock import without_dead_locks
from cli.engine_results import StackResult, run_failure
from cli.engine_targets import require_targets, target_patterns
from cli.pending_operations import resolve_pending_operations
from cli.pulumi_events import EngineRun
from cli.pulumi_workspace import PulumiWorkspace
from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cli.environment import Environment
    from cli.provider_process import ProviderProcess
    from cli.pulumi_workspace import Stack
    from infra.progress import ProgressStep


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
        self.environment = environment
        self.workspace = PulumiWorkspace(environment, path=path, kubeconfig=kubeconfig)
        self._provider = provider
        self._kubeconfig = kubeconfig

    def expect_runs(self, count: int) -> None:
        """Prepare for runs that follow each other: the provider of each starts beside the run before it.

        Args:
            count: number of the runs.
        """
        if self._provider is not None:
            self._provider.expect_runs(count)

    def up(
        self, layer: str, program: Callable[[], None], step: ProgressStep, targets: Sequence[str] = ()
    ) -> StackResult:
        """Deploy a layer; also corrects drift.

        Args:
            layer: name of the layer.
            program: declares its resources.
            step: shows the resources in progress.
            targets: names of the only resources to deploy; empty for all.

        Returns:
            The changes made.

        Raises:
            DeployFailedError: a resource was rejected or did not become ready.
            UsageError: no resource has the name of a target.
            EnvironmentLockedError: another run uses the stack.
        """
        stack = self.workspace.stack(layer, program, self._provider_variables())
        action = partial(stack.up, refresh=True, suppress_outputs=True, target=target_patterns(targets))
        return self._run(stack, layer, "up", partial(_with_stack, stack, action), step, targets)

    def publish(self, layer: str, program: Callable[[], None], step: ProgressStep) -> None:
        """Save the outputs of a program without resources.

        Args:
            layer: name of the layer.
            program: exports the outputs.
            step: shows the progress.

        Raises:
            DeployFailedError: the program failed; the earlier outputs are kept.
        """
        stack = self.workspace.stack(layer, program)
        self._run(
            stack, layer, "up", partial(_with_stack, stack, partial(stack.up, suppress_outputs=True)), step
        )

    def preview(
        self, layer: str, program: Callable[[], None], step: ProgressStep, targets: Sequence[str] = ()
    ) -> StackResult:
        """Return the changes that `up` would make; creates nothing, not even the stack.

        Args:
            layer: name of the layer.
            program: declares its resources.
            step: shows the resources in progress.
            targets: names of the only resources to deploy; empty for all.
        """
        if self.workspace.has_key():
            stack = self.workspace.stack(layer, program, self._provider_variables())
            with suppress(StackNotFoundError):
                action = partial(stack.preview, refresh=True, target=target_patterns(targets))
                return self._run(stack, layer, "preview", action, step, targets)
        with tempfile.TemporaryDirectory(prefix="esq-preview-") as folder:
            stack = self.workspace.scratch_stack(layer, program, self._provider_variables(), Path(folder))
            action = partial(stack.preview, target=target_patterns(targets))
            return self._run(stack, layer, "preview", action, step, targets)

    def drift(self, layer: str, step: ProgressStep) -> StackResult:
        """Compare the cluster with the last deploy; changes nothing.

        Args:
            layer: name of the layer.
            step: shows the resources in progress.

        Returns:
            The differences.

        Raises:
            EsqError: the layer is not deployed.
        """
        try:
            if not self.workspace.has_key():
                raise _not_deployed(self.environment.name, layer)
            stack = self.workspace.stack(layer, variables=self._provider_variables())
            return self._run(stack, layer, "drift", partial(stack.refresh, preview_only=True), step)
        except StackNotFoundError as error:
            raise _not_deployed(self.environment.name, layer) from error

    def preview_destroy(self, layer: str, step: ProgressStep) -> StackResult:
        """Return the resources that `destroy` would delete; the cluster is not asked.

        Args:
            layer: name of the layer.
            step: shows the resources in progress.
        """
        if not self.workspace.has_key():
            return StackResult(layer, (), {})
        stack = self.workspace.stack(layer, variables=self._provider_variables())
        try:
            return self._run(stack, layer, "destroy", partial(stack.destroy, preview_only=True), step)
        except StackNotFoundError:
            return StackResult(layer, (), {})

    def destroy(self, layer: str, step: ProgressStep) -> StackResult:
        """Delete all resources of a layer, then its stack.

        Args:
            layer: name of the layer.
            step: shows the resources in progress.

        Returns:
            The deleted resources; none without the stack.
        """
        if not self.workspace.has_key():
            return StackResult(layer, (), {})
        stack = self.workspace.stack(layer, variables=self._provider_variables())
        try:
            result = self._run(stack, layer, "destroy", stack.destroy, step)
            stack.workspace.remove_stack(stack.name, force=True)
        except StackNotFoundError:
            return StackResult(layer, (), {})
        return result

    def recover(self, layer: str) -> str:
        """Clear what a run left in a stack that did not end by itself: its lock and pending operations.

        Args:
            layer: name of the layer.

        Returns:
            What was cleared; empty when nothing was left.

        Raises:
            EsqError: an object that the run was about to create exists and is not ours.
        """
        if not self.workspace.has_key():
            return ""
        state = self.workspace.export_state(layer)
        cleared = resolve_pending_operations(state, self._kubeconfig)
        if cleared:
            self.workspace.import_state(layer, state)
        return cleared

    def _provider_variables(self) -> dict[str, str]:
        return {"PULUMI_DEBUG_PROVIDERS": self._provider.attachment} if self._provider else {}

    def _run(  # noqa: PLR0913, PLR0917 - one per property of a run
        self,
        stack: Stack,
        layer: str,
        verb: str,
        method: Callable[..., Any],
        step: ProgressStep,
        targets: Sequence[str] = (),
    ) -> StackResult:
        run = EngineRun(step.set_status)
        action = partial(method, on_event=run.handle, color="never")
        try:
            with self._provider_lifetime():
                self.workspace.command.run_interruptible(partial(without_dead_locks, stack, action), step)
        except StackNotFoundError:
            raise
        except CommandError as error:
            raise run_failure(error, run, stack.name, verb, self._kubeconfig) from error
        require_targets(targets, run.urns, layer)
        return StackResult(layer, tuple(run.changes), run.counts, tuple(run.warnings))

    @contextmanager
    def _provider_lifetime(self) -> Iterator[None]:
        """Stop the provider after a run: the engine cancels it, after which it rejects further work."""
        try:
            yield
        finally:
            if self._provider is not None:
                self._provider.close()


def _not_deployed(environment: str, layer: str) -> EsqError:
    return EsqError(
        f"layer {layer} of `{environment}` is not deployed",
        location=f"stack {environment}-{layer}",
        remedy=f"Deploy it: `esq deploy {environment}`.",
    )


def _with_stack(stack: Stack, action: Callable[..., Any], **options: Any) -> None:  # noqa: ANN401 - the SDK's options
    """Run an action; create the stack first when it does not exist."""
    try:
        action(**options)
    except StackNotFoundError:
        stack.workspace.create_stack(stack.name)
        action(**options)
