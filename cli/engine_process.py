"""The process of the Pulumi engine: one at a time, in a session of its own, never longer than `esq` lives.

The SDK starts a process per command and offers no way to signal it. Here the process is known: Ctrl-C and
SIGTERM reach it once, through `interrupt`, whoever sent them to `esq`. It dies with `esq`, as its provider
does: what it was doing is then recorded as pending in its state.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, TypeVar

from pulumi import automation as auto
from pulumi._version import version as sdk_version
from pulumi.automation.errors import CommandError, create_command_error

from infra.subprocesses import DIE_WITH_PARENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.progress import ProgressStep

CANCEL_TIMEOUT_SECONDS = 60.0
"""After Ctrl-C the engine has this long to end running operations and save its state; then it is killed."""

Result = TypeVar("Result")


class EngineCommand(auto.PulumiCommand):
    """Runs the engine's commands; each is one process.

    Args:
        path: PATH of the engine; its program `pulumi` is found there.
    """

    def __init__(self, path: str) -> None:
        # Not the SDK's constructor: it starts the engine to ask its version, which the toolchain ensures.
        self.command = shutil.which("pulumi", path=path) or "pulumi"
        self.version = sdk_version
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._interrupted = False

    def run(  # noqa: PLR0913, PLR0917 - the SDK's signature, and standard input
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], Any] | None = None,
        on_error: Callable[[str], Any] | None = None,
        stdin: str | None = None,
    ) -> auto.CommandResult:
        """Run a command of the engine until it ends.

        Args:
            args: arguments; never a secret, since every user of the machine can read them.
            cwd: working directory.
            additional_env: variables added to those of this process.
            on_output: called with each line of standard output.
            on_error: called with each line of standard error.
            stdin: text for standard input; closed if None.

        Returns:
            Output and exit code 0.

        Raises:
            CommandError: the command failed; a more specific class of it where the SDK knows the reason.
        """
        argv = [*DIE_WITH_PARENT, self.command, "--non-interactive", *args]
        with subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=_variables(additional_env),
            encoding="utf-8",
            start_new_session=True,
        ) as process:
            self._started(process)
            errors = _Lines(process.stderr, on_error)
            output = _Lines(process.stdout, on_output)
            if process.stdin is not None:
                # An engine that ends before it has read everything reports why.
                with suppress(BrokenPipeError), process.stdin:
                    process.stdin.write(stdin or "")
            result = auto.CommandResult(output.text(), errors.text(), process.wait())
        self._process = None
        if result.code:
            raise create_command_error(result)
        return result

    def run_interruptible(self, action: Callable[[], Result], step: ProgressStep) -> Result:
        """Run an action that calls the engine; after Ctrl-C wait until the engine has stopped safely.

        A second Ctrl-C, or the end of `CANCEL_TIMEOUT_SECONDS`, kills the engine.

        Args:
            action: runs in a thread of its own.
            step: shows what is waited for.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM; the engine does not run any more.
        """
        future: Future[Result] = Future()
        # Not an executor: leaving one, and the end of the interpreter, would wait for the thread forever.
        threading.Thread(target=_resolve, args=(future, action), name="engine", daemon=True).start()
        try:
            return future.result()
        except KeyboardInterrupt:
            step.set_status("the engine to stop safely (Ctrl-C again to stop waiting)")
            self.interrupt()
            try:
                with suppress(CommandError):
                    future.result(CANCEL_TIMEOUT_SECONDS)
            except (KeyboardInterrupt, FutureTimeoutError):
                self.kill()
            raise

    def interrupt(self) -> None:
        """Ask the engine to stop after its running operations, as Ctrl-C does."""
        with self._lock:
            self._interrupted = True
            if self._process is not None:
                self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End the engine and its children at once; pending operations stay in its state."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)

    def _started(self, process: subprocess.Popen[str]) -> None:
        with self._lock:
            self._process = process
            if self._interrupted:
                # The signal arrived before there was a process to send it to.
                process.send_signal(signal.SIGINT)


def _variables(additional: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the engine's process."""
    variables = {**os.environ, **additional, "PULUMI_AUTOMATION_API": "true"}
    if "PULUMI_CONFIG_PASSPHRASE_FILE" in additional:
        # Of another project: the engine would prefer it to the file.
        variables.pop("PULUMI_CONFIG_PASSPHRASE", None)
    return variables


class _Lines:
    """Reads a stream in a thread."""

    def __init__(self, stream: IO[str] | None, callback: Callable[[str], Any] | None) -> None:
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._read, args=(stream, callback), daemon=True)
        self._thread.start()

    def text(self) -> str:
        """Return everything, after the end of the stream."""
        self._thread.join()
        return "\n".join(self._lines)

    def _read(self, stream: IO[str], callback: Callable[[str], Any] | None) -> None:
        for line in stream:
            self._lines.append(line.rstrip())
            if callback is not None:
                callback(self._lines[-1])


def _resolve(future: Future[Result], action: Callable[[], Result]) -> None:
    try:
        future.set_result(action())
    except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits for the result
        future.set_exception(error)
