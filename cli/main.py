"""The command line `esq`.

Commands are imported on use, so that `esq --help` is fast. An `EsqError` becomes a message (reason, location,
detail, remedy) and an exit code (`infra.errors.ExitCode`). Any other exception is an internal error: its
traceback goes to a log file, whose path is printed.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from typer.core import TyperGroup

from infra.errors import EsqError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GC_THRESHOLD = 50_000
"""Allocations between two garbage collections."""
COMMANDS = {
    "preview": ("cli.commands.deploy", "Show what a deploy would change."),
    "deploy": ("cli.commands.deploy", "Deploy an environment."),
    "status": ("cli.commands.status", "Show the health of an environment by component and zone."),
    "open": ("cli.commands.operations_page", "Serve the operations page of an environment."),
    "config": ("cli.commands.config", "Show and set fields of an environment's definition."),
    "env": ("cli.commands.env", "List, show and create environments; bind one to what its definition says."),
    "state": ("cli.commands.state", "Export, import and unlock the state of an environment's stacks."),
    "drift": (
        "cli.commands.drift",
        "Compare the cluster with the deployed state; exit code 99 when they differ.",
    ),
    "destroy": ("cli.commands.destroy", "Delete an environment."),
    "credentials": ("cli.commands.credentials", "Export and restore the credentials of an environment."),
    "backup": ("cli.commands.backup", "Create, list, verify and restore backups."),
    "scrub": (
        "cli.commands.scrub",
        "Read all data of every replica and verify its checksums; repair from the other replicas.",
    ),
    "recover": ("cli.commands.recover", "Recover a lost environment from its off-site store."),
    "campaign": ("cli.commands.campaign", "Send, operate and export campaigns."),
    "logs": ("cli.commands.access", "Print or follow the logs of parts of an environment."),
    "log-patterns": ("cli.commands.log_patterns", "Show new and exploded patterns of log lines."),
    "exec": ("cli.commands.access", "Run a command in a pod of an environment."),
    "port-forward": ("cli.commands.access", "Forward a local port to a pod of an environment."),
    "psql": ("cli.commands.access", "Open psql on the primary of Postgres."),
    "queue": ("cli.commands.queue", "Inspect and control job queues."),
    "dlq": ("cli.commands.dlq", "List, show, replay and discard dead letters."),
    "slo": (
        "cli.commands.slo",
        "Show every SLO with its last measurement; exit code 99 when one is violated.",
    ),
    "alerts": ("cli.commands.alerts", "List, silence and test the alerts of an environment."),
    "incident": ("cli.commands.incident", "Show incidents with their timelines; draft postmortems."),
    "runbook": ("cli.commands.runbook", "Show, check and run the runbooks of the alerts."),
    "dashboards": ("cli.commands.dashboards", "Dashboards for Grafana: export them, or apply them to one."),
    "chaos": ("cli.commands.chaos", "Run fault injection experiments."),
    "load": ("cli.commands.load", "Run load tests."),
    "audit": (
        "cli.commands.audit",
        "Audit statements, dependencies and the cost of services; exit code 99 over a limit.",
    ),
    "cluster": ("cli.commands.cluster", "Manage the local three-zone cluster: up, down, status, logs."),
    "images": ("cli.commands.images", "List, build, push and prune the images of the platform."),
    "cache": ("cli.commands.cache", "Prune tools, environments and images that nothing uses."),
    "toolchain": ("cli.commands.toolchain", "List and build the tools."),
    "test": ("cli.commands.test", "Run checks and tests."),
    "generate": ("cli.commands.dev", "Regenerate Protobuf code, AsyncAPI document and JSON schema."),
    "lock": ("cli.commands.dev", "Regenerate the lock files after a change to pyproject.toml."),
}
"""Module and help line of each command, in the order they are listed."""


EXIT_TIMEOUT_SECONDS = 5.0
"""After an interrupt, threads that do not end are abandoned."""


class LazyGroup(TyperGroup):
    """A command group that imports a command when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - the framework's signature
        """Return the names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, ARG002 - the framework's signature
        """See `TyperGroup.get_command`; returns a placeholder with the name and help of the command."""
        return _placeholder_command(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401 - same
        """See `TyperGroup.resolve_command`; imports the command."""
        if args and args[0] in COMMANDS:
            return args[0], _load_command(args[0]), args[1:]
        return super().resolve_command(ctx, args)


def _placeholder_command(name: str) -> Any:  # noqa: ANN401 - the framework's own class is private
    placeholder = typer.Typer()
    placeholder.command(name, help=COMMANDS[name][1])(lambda: None)
    return typer.main.get_command(placeholder)


def _load_command(name: str) -> Any:  # noqa: ANN401 - the framework's own class is private
    command = typer.main.get_command(importlib.import_module(COMMANDS[name][0]).app)
    return getattr(command, "commands", {}).get(name, command)


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, rich_markup_mode=None)


def _print_version(requested: bool) -> None:  # noqa: FBT001 - the framework's signature
    if not requested:
        return
    from infra.version import commit, version  # noqa: PLC0415 - runs git

    typer.echo(f"esq {version()}" + (f" ({checkout})" if (checkout := commit()) else ""))
    raise typer.Exit


@app.callback()
def _root(
    verbose: bool = typer.Option(False, "-v", "--verbose", help="Show the traceback of internal errors."),  # noqa: FBT001, FBT003 - a flag
    version: bool = typer.Option(  # noqa: ARG001, FBT001 - read by its callback
        False,  # noqa: FBT003 - a flag
        "--version",
        help="Print the version and exit.",
        callback=_print_version,
        is_eager=True,
    ),
) -> None:
    """Deploy, operate and test a WhatsApp campaign platform that must not lose a message."""
    if verbose:
        os.environ["ESQ_VERBOSE"] = "1"


def run(argv: Sequence[str]) -> int:
    """Run `esq ARGV` and return its exit code."""
    try:
        code = int(typer.main.get_command(app).main(list(argv), prog_name="esq", standalone_mode=False) or 0)
        return _report_interrupt(argv) if code == ExitCode.INTERRUPTED else code
    except EsqError as error:
        _print_error(error, as_json="--json" in argv)
        return error.exit_code
    except KeyboardInterrupt:
        return _report_interrupt(argv)
    except Exception as error:  # noqa: BLE001 - the one place where nothing may escape
        return _click_or_internal_error(error)


def _click_or_internal_error(error: Exception) -> int:
    """Let the framework print its own errors; report any other exception as an internal error."""
    show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if callable(show) and isinstance(code, int):
        show()
        return code
    if type(error).__name__ == "Abort":
        sys.stderr.write("Cancelled.\n")
        return ExitCode.FAILED
    return _report_internal_error(error)


def _report_interrupt(argv: Sequence[str]) -> int:
    command = " ".join(["esq", *argv])
    sys.stderr.write(f"\nInterrupted. Completed steps are kept; to resume, repeat the command: {command}\n")
    return ExitCode.INTERRUPTED


def _print_error(error: EsqError, *, as_json: bool) -> None:
    if as_json:
        fields = ("message", "location", "remedy", "detail")
        sys.stdout.write(json.dumps({"error": {name: getattr(error, name) for name in fields}}) + "\n")
    parts = [f"Error: {error.message}"]
    parts += [f"  location: {error.location}"] if error.location else []
    parts += [f"  remedy:   {error.remedy}"] if error.remedy else []
    parts += [error.detail.rstrip()] if error.detail else []
    sys.stderr.write("\n".join(parts) + "\n")
    if os.environ.get("ESQ_VERBOSE"):
        traceback.print_exception(error)


def _report_internal_error(error: Exception) -> int:
    text = "".join(traceback.format_exception(error))
    if os.environ.get("ESQ_VERBOSE"):
        sys.stderr.write(text)
        return ExitCode.FAILED
    log = _log_file()
    log.write_text(text)
    sys.stderr.write(
        f"Error: internal error: {type(error).__name__}: {error}\n"
        f"  location: {log}\n"
        "  remedy:   repeat with `esq -v ...` to print the traceback; please report the error with the log\n"
    )
    return ExitCode.FAILED


def _log_file() -> Path:
    from cli.environment import state_dir  # noqa: PLC0415 - only a failure needs it, and help must be fast

    folder = state_dir() / "logs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / f"error-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}.log"


def handle_signals() -> None:
    """Let SIGTERM, and SIGHUP of a closed terminal, clean up as Ctrl-C does; `nohup` stays effective."""
    # A run that lost its lock interrupts itself, also where a shell started it with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def main() -> NoReturn:
    """Run `esq` with the arguments of this process."""
    # Imports allocate much and free nothing: at the default, collections take a fifth of their time.
    gc.set_threshold(GC_THRESHOLD)
    handle_signals()
    code = run(sys.argv[1:])
    if code == ExitCode.INTERRUPTED:
        # The interpreter waits for all threads, also for one of a program that hangs.
        deadline = threading.Timer(EXIT_TIMEOUT_SECONDS, os._exit, (code,))
        deadline.daemon = True
        deadline.start()
    sys.exit(code)


if __name__ == "__main__":
    main()
