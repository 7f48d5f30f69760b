"""The command line as a whole: exit codes, messages, and that help imports nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from typing import TYPE_CHECKING

import pytest
import typer

from cli import main
from infra.errors import EsqError, Problem, ProblemsError, SloViolatedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[BaseException | None], None]:
    """Makes `esq fake` raise an error, or do nothing."""

    def install(error: BaseException | None) -> None:
        module = types.ModuleType("tests_fake_command")
        module.app = typer.Typer()  # type: ignore[attr-defined]

        @module.app.command()  # type: ignore[attr-defined, untyped-decorator]
        def fake(*, json: bool = typer.Option(False, "--json")) -> None:  # noqa: ARG001, FBT003 - only taken
            if error is not None:
                raise error

        monkeypatch.setitem(sys.modules, "tests_fake_command", module)
        monkeypatch.setitem(main.COMMANDS, "fake", ("tests_fake_command", "For tests."))

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("ESQ_VERBOSE", raising=False)
    return install


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 0),
        (EsqError("it broke"), 1),
        (ProblemsError("no", []), 2),
        (SloViolatedError("lost one"), 99),
        (KeyboardInterrupt(), 130),
        (typer.Exit(7), 7),
        (RuntimeError("unexpected"), 1),
    ],
)
def test_exit_codes(
    command: Callable[[BaseException | None], None], error: BaseException | None, code: int
) -> None:
    command(error)
    assert main.run(["fake"]) == code


def test_error_prints_message_location_remedy_and_detail(
    command: Callable[[BaseException | None], None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(EsqError("it broke", location="zone-b", remedy="correct it", detail="line 1\nline 2"))
    main.run(["fake"])
    printed = capsys.readouterr().err
    for part in ("it broke", "zone-b", "correct it", "line 2"):
        assert part in printed
    assert "Traceback" not in printed


def test_all_problems_are_printed(
    command: Callable[[BaseException | None], None], capsys: pytest.CaptureFixture[str]
) -> None:
    problems = [Problem("is taken", "port 443", "Stop it."), Problem("not root", "user", "Use sudo.")]
    command(ProblemsError("This machine cannot", problems))
    main.run(["fake"])
    printed = capsys.readouterr().err
    assert "port 443: is taken. Stop it." in printed
    assert "user: not root. Use sudo." in printed


def test_json_option_prints_errors_as_json(
    command: Callable[[BaseException | None], None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(EsqError("it broke", remedy="correct it"))
    main.run(["fake", "--json"])
    assert json.loads(capsys.readouterr().out)["error"]["remedy"] == "correct it"


def test_internal_error_is_logged_to_a_file(
    command: Callable[[BaseException | None], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command(RuntimeError("unexpected"))
    main.run(["fake"])
    printed = capsys.readouterr().err
    (log,) = (tmp_path / "esq" / "logs").iterdir()
    assert str(log) in printed
    assert "Traceback" not in printed
    assert "RuntimeError: unexpected" in log.read_text()


def test_verbose_prints_the_traceback(
    command: Callable[[BaseException | None], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ESQ_VERBOSE", "")
    command(RuntimeError("unexpected"))
    main.run(["-v", "fake"])
    assert "Traceback" in capsys.readouterr().err


def test_interrupt_prints_the_command(
    command: Callable[[BaseException | None], None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(KeyboardInterrupt())
    main.run(["fake"])
    assert "esq fake" in capsys.readouterr().err


def test_unknown_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["dpeloy"]) == 2
    assert "dpeloy" in capsys.readouterr().err


def test_every_command_is_in_the_help_and_can_be_imported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in main.COMMANDS:
        assert name in shown
        assert main._load_command(name) is not None


def test_help_imports_neither_engine_nor_clients() -> None:
    script = (
        "import sys; from cli import main; code = main.run(['--help'])\n"
        "heavy = {'pulumi', 'kubernetes', 'httpx', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("args", [("deploy", "local"), ("destroy", "local"), ("deploy", "local", "--json")])
def test_confirmation_without_a_terminal_is_a_usage_error(
    args: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(args) == 2
    assert "--yes" in capsys.readouterr().err


def test_version_names_the_release(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("esq 0.")


@pytest.mark.parametrize(
    ("line", "expected"),
    [("esq dep", "deploy"), ("esq chaos ", "rollback"), ("esq logs local post", "postgres")],
)
def test_completion(line: str, expected: str) -> None:
    """The shell calls the program with its words; the placeholder of a command has no arguments itself."""
    environment = {"_ESQ_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    printed = subprocess.run(
        [sys.executable, "-m", "cli.main"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert expected in printed.split()
