"""`esq lock` and `esq generate`: files that are generated from sources in the repository."""

from __future__ import annotations

from pathlib import Path

import typer

from cli import output
from infra.subprocesses import PYTHON_MODULE, run

app = output.command_group()

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
_LOCK_SOURCES: dict[str, tuple[str, ...]] = {
    "uv": ("locks/uv.in",),
    "go": ("locks/go.in",),
    "esq": ("pyproject.toml", "--extra", "audit", "--group", "dev", "--group", "services"),
    # The images run the versions that the tests ran with.
    "services": ("--group", "pyproject.toml:services", "--constraint", "locks/esq.txt"),
    "loadtests": ("locks/loadtests.in", "--constraint", "locks/esq.txt"),
    "patroni": ("--group", "pyproject.toml:patroni"),
    "benchmarks": ("--group", "pyproject.toml:benchmarks"),
    "benchmarks-arq": ("--group", "pyproject.toml:benchmarks-arq"),
}


@app.command()
def lock() -> None:
    """Regenerate all lock files: names, versions and hashes; without addresses, so that any index works."""
    for name, sources in _LOCK_SOURCES.items():
        target = f"locks/{name}.txt"
        run(
            [
                *(*PYTHON_MODULE, "uv", *_COMPILE, "--python-version", "3.11"),
                *("--custom-compile-command", "./esq lock", "--output-file", target, *sources),
            ],
            cwd=PROJECT,
            timeout=300,
        )
        typer.echo(target)


@app.command()
def generate() -> None:
    """Regenerate what comes from Protobuf schemas, topics and alerts, and the schema of environments."""
    from cli.actions import environments, generated_contracts  # noqa: PLC0415 - imports what is generated first

    generate_into(PROJECT / SCHEMAS)
    typer.echo(str(SCHEMAS))
    for path in [*generated_contracts.regenerate(PROJECT), environments.write_schema(PROJECT)]:
        typer.echo(str(path))
    from infra.alerts.document import DOCUMENT, render_document  # noqa: PLC0415 - as above

    (PROJECT / DOCUMENT).write_text(render_document(), encoding="utf-8")
    typer.echo(DOCUMENT)


def generate_into(folder: Path) -> None:
    """Write the Protobuf code and its type stubs into `folder`."""
    source = PROJECT / SCHEMAS
    protos = sorted(path.name for path in source.glob("*.proto"))
    run(
        [
            *(*PYTHON_MODULE, "grpc_tools.protoc", f"-I{source}"),
            *(f"--python_out={folder}", f"--pyi_out={folder}", *protos),
        ],
        cwd=source,
    )
