"""`esq lock` and `esq generate`: what is generated from what is written by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from infra.subprocesses import run

app = typer.Typer()

PROJECT = Path(__file__).resolve().parents[2]
SCHEMAS = Path("services/contracts/v1")
_COMPILE = (
    "pip",
    "compile",
    "--quiet",
    "--generate-hashes",
    "--universal",
    "--no-emit-index-url",
    "--no-annotate",
)
_LOCKS: dict[str, tuple[str, ...]] = {
    "uv": ("locks/uv.in",),
    "go": ("locks/go.in",),
    "esq": ("pyproject.toml", "--group", "dev", "--group", "services"),
    # The images run the very versions that the tests ran.
    "services": ("--group", "pyproject.toml:services", "--constraint", "locks/esq.txt"),
    "patroni": ("--group", "pyproject.toml:patroni"),
    "benchmarks": ("--group", "pyproject.toml:benchmarks"),
    "benchmarks-arq": ("--group", "pyproject.toml:benchmarks-arq"),
}


@app.command()
def lock() -> None:
    """Renew all lock files: names, versions and hashes; no addresses, so that any index may serve them."""
    for name, sources in _LOCKS.items():
        target = f"locks/{name}.txt"
        run(
            [
                *(sys.executable, "-m", "uv", *_COMPILE, "--python-version", "3.11"),
                *("--custom-compile-command", "./esq lock", "--output-file", target, *sources),
            ],
            cwd=PROJECT,
            timeout=300,
        )
        typer.echo(target)


@app.command()
def generate() -> None:
    """Renew what is made from the Protobuf schemas and the topics: code, baseline, AsyncAPI document."""
    from cli.actions import contracts  # noqa: PLC0415 - imports the code, which is renewed first

    generate_into(PROJECT / SCHEMAS)
    typer.echo(str(SCHEMAS))
    for written in contracts.renew(PROJECT):
        typer.echo(str(written))


def generate_into(folder: Path) -> None:
    """Write the code and its types into `folder`."""
    source = PROJECT / SCHEMAS
    protos = sorted(path.name for path in source.glob("*.proto"))
    run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{source}"),
            *(f"--python_out={folder}", f"--pyi_out={folder}", *protos),
        ],
        cwd=source,
    )
