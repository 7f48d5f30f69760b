"""The launcher `esq` takes no code from the working directory."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.unit.project.source_files import PACKAGES, PROJECT

if TYPE_CHECKING:
    from pathlib import Path

SHADOWED = ("typer", "cli", "runpy", "json", "usercustomize", "sitecustomize")
"""Modules of dependencies, of esq, and of the standard library."""


@pytest.fixture
def working_directory(tmp_path: Path) -> Path:
    """A working directory with modules and folders that exit with 42 when they are imported."""
    for name in SHADOWED:
        (tmp_path / f"{name}.py").write_text("raise SystemExit(42)\n")
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit(42)\n")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("python", "-c", "import typer, cli, json"),
        ("python", "-m", "json.tool", "--help"),
        (
            "python",
            "-c",
            "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import typer'], check=True)",
        ),
    ],
)
def test_working_directory_provides_no_modules(working_directory: Path, arguments: tuple[str, ...]) -> None:
    launched = subprocess.run(
        [PROJECT / "esq", *arguments],
        cwd=working_directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert launched.returncode == 0, launched.stdout + launched.stderr


def test_subprocesses_do_not_run_modules_of_the_working_directory() -> None:
    unsafe = [
        str(path.relative_to(PROJECT))
        for package in PACKAGES
        if package not in {"benchmarks", "tests"}
        for path in (PROJECT / package).rglob("*.py")
        if re.search(r'sys\.executable,\s*"-m"', path.read_text(encoding="utf-8"))
    ]
    assert unsafe == [], "use infra.subprocesses.PYTHON_MODULE"
