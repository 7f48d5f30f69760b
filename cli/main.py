"""The command line `esq`.

Commands are imported when they are used, so that `esq --help` answers at once. Errors that were raised on
purpose become a message (what, where, detail, remedy) and an exit code: 1 it failed, 2 wrong use, 99 a
promise does not hold. Anything else is a defect: its traceback goes to a log that is named.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from typer.core import TyperGroup

from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COMMANDS = {
    "preview": ("cli.commands.deploy", "Show what a deploy would change."),
    "deploy": ("cli.commands.deploy", "Bring an environment to what this version describes."),
    "status": ("cli.commands.status", "Show each part of an environment by zone, and whether it is well."),
    "drift": (
        "cli.commands.drift",
        "Compare the cluster with what was deployed; exit code 99 when it differs.",
    ),
    "destroy": ("cli.commands.destroy", "Take an environment away."),
    "backup": ("cli.commands.backup", "Backups: take, list, try, restore, rebuild a lost environment."),
    "campaign": ("cli.commands.campaign", "Send a campaign and hold the ledger against it."),
    "queue": ("cli.commands.queue", "The queues: what waits, and holding or draining them."),
    "dlq": ("cli.commands.dlq", "Dead letters: list, show, replay, drop."),
    "promises": (
        "cli.commands.promises",
        "Show every promise with its last figure; exit code 99 when one is broken.",
    ),
    "chaos": ("cli.commands.chaos", "Hurt an environment on purpose, and see what it costs."),
    "load": ("cli.commands.load", "Put load on an environment, and see how it holds."),
    "cluster": ("cli.commands.cluster", "The three zones on this machine: up, down, status, logs."),
    "toolchain": ("cli.commands.toolchain", "List the tools, where they come from, and build them ahead."),
    "test": ("cli.commands.test", "Run the tests, or a part of them."),
    "generate": ("cli.commands.lock", "Renew what is made from schemas and topics after a change to them."),
    "lock": ("cli.commands.lock", "Renew the lock files after a change to pyproject.toml."),
}
"""Module and one line of help of each command, in the order they are listed."""

DEFECT = 1
INTERRUPTED = 130
"""As a shell reports a program ended by Ctrl-C."""


class LazyGroup(TyperGroup):
    """Knows its commands by name, and imports one when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - the framework's signature
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, ARG002 - the framework's signature
        """Return a stand-in with the name and help of the command, for lists."""
        return _stand_in(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401 - same
        """Return the command that is to run, imported now."""
        if args and args[0] in COMMANDS:
            return args[0], _command(args[0]), args[1:]
        return super().resolve_command(ctx, args)


def _stand_in(name: str) -> Any:  # noqa: ANN401 - the framework's own class is private
    stand_in = typer.Typer()
    stand_in.command(name, help=COMMANDS[name][1])(lambda: None)
    return typer.main.get_command(stand_in)


def _command(name: str) -> Any:  # noqa: ANN401 - the framework's own class is private
    command = typer.main.get_command(importlib.import_module(COMMANDS[name][0]).app)
    return getattr(command, "commands", {}).get(name, command)


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def _root(
    verbose: bool = typer.Option(False, "-v", "--verbose", help="Show the traceback of unexpected errors."),  # noqa: FBT001, FBT003 - a flag
) -> None:
    """Deploy, operate and prove a WhatsApp campaign platform that must not lose a message."""
    if verbose:
        os.environ["ESQ_VERBOSE"] = "1"


def run(argv: Sequence[str]) -> int:
    """Run `esq ARGV` and return its exit code."""
    try:
        code = int(typer.main.get_command(app).main(list(argv), prog_name="esq", standalone_mode=False) or 0)
        return _interrupted(argv) if code == INTERRUPTED else code
    except EsqError as error:
        _tell(error, as_json="--json" in argv)
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted(argv)
    except Exception as error:  # noqa: BLE001 - the one place where nothing may escape
        return _framework_or_defect(error)


def _framework_or_defect(error: Exception) -> int:
    """Let the framework tell about wrong words; anything else is a defect of ours."""
    show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if callable(show) and isinstance(code, int):
        show()
        return code
    if type(error).__name__ == "Abort":
        sys.stderr.write("Not done, as you wished.\n")
        return DEFECT
    return _defect(error)


def _interrupted(argv: Sequence[str]) -> int:
    again = " ".join(["esq", *argv])
    sys.stderr.write(f"\nInterrupted. What was done stays; the same command goes on from there: {again}\n")
    return INTERRUPTED


def _tell(error: EsqError, *, as_json: bool) -> None:
    if as_json:
        fields = ("what", "where", "remedy", "detail")
        sys.stdout.write(json.dumps({"error": {name: getattr(error, name) for name in fields}}) + "\n")
    parts = [f"Error: {error.message}"]
    parts += [f"  where:  {error.location}"] if error.location else []
    parts += [f"  remedy: {error.remedy}"] if error.remedy else []
    parts += [error.detail.rstrip()] if error.detail else []
    sys.stderr.write("\n".join(parts) + "\n")
    if os.environ.get("ESQ_VERBOSE"):
        traceback.print_exception(error)


def _defect(error: Exception) -> int:
    text = "".join(traceback.format_exception(error))
    if os.environ.get("ESQ_VERBOSE"):
        sys.stderr.write(text)
        return DEFECT
    log = _log_file()
    log.write_text(text)
    sys.stderr.write(
        f"Error: something went wrong that esq did not expect: {type(error).__name__}: {error}\n"
        f"  where:  {log}\n  remedy: repeat with `esq -v ...` to see it here; please report it with the log\n"
    )
    return DEFECT


def _log_file() -> Path:
    from cli.environment import root  # noqa: PLC0415 - only a failure needs it, and help must be quick

    folder = root() / "logs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / f"error-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}.log"


def main() -> NoReturn:
    """Run `esq` with this process's arguments; being ended (SIGTERM) cleans up as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
