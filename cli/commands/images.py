"""`esq images list | build | push | prune`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from cli import output
from cli.commands.cache import Preview, print_result
from cli.output import AsJson, Env  # noqa: TC001 - Typer reads annotations

if TYPE_CHECKING:
    from infra.zones import Cluster

app = output.command_group("List, build, push and prune the images of the platform.")


@app.command("list")
def list_images(env: Env, *, json: AsJson = False) -> None:
    """List the current version of every image: its digest, and whether it is built and pushed."""
    from cli.actions.caches import image_statuses  # noqa: PLC0415 - help needs none of it

    cluster = _local_cluster(env)
    running = cluster.status().running
    statuses = image_statuses(cluster.registry_access if running else None)
    if json:
        rows = [asdict(status) for status in statuses]
        output.print_json({"environment": env, "registry_running": running, "images": rows})
        return
    table = output.table("image", "key", "built", "pushed", "digest")
    for status in statuses:
        missing = f"no: without {' and '.join(status.missing_tools)}" if status.missing_tools else "no"
        table.add_row(
            status.image,
            status.key or "unknown",
            "yes" if status.built else missing,
            ("yes" if status.pushed else "no") if running else "cluster is down",
            status.digest or "",
        )
    output.print_table(table)


@app.command()
def build(env: Env, *, json: AsJson = False) -> None:
    """Build images whose content has changed, or whose Debian packages have updates."""
    from cli.actions.caches import open_images  # noqa: PLC0415 - help needs none of it

    _local_cluster(env)
    progress = output.progress_reporter(as_json=json)
    built = open_images(progress).build(progress)
    if json:
        output.print_json({"environment": env, "built": [version.image for version in built]})


@app.command()
def push(env: Env, *, json: AsJson = False) -> None:
    """Push images that the registry of the environment lacks; build them if needed."""
    from cli.actions.caches import open_images  # noqa: PLC0415 - help needs none of it
    from infra.zones.images.contexts import image_names  # noqa: PLC0415 - same

    cluster = _local_cluster(env)
    progress = output.progress_reporter(as_json=json)
    references = open_images(progress).push(cluster.registry_access, progress, image_names())
    if json:
        output.print_json({"environment": env, "images": references})
        return
    output.print_rows(references.items())


@app.command()
def prune(env: Env, *, preview: Preview = False, json: AsJson = False) -> None:
    """Remove versions of images that are neither current nor used by a running cluster."""
    from cli.actions.caches import prune_images  # noqa: PLC0415 - help needs none of it

    _local_cluster(env)
    print_result(prune_images(output.progress_reporter(as_json=json), preview=preview), as_json=json)


def _local_cluster(env: str) -> Cluster:
    """Return the local cluster of the environment.

    Raises:
        UsageError: it has none, so that esq has no registry for it.
    """
    from cli.actions import deployment_target  # noqa: PLC0415 - help needs none of it
    from cli.environment import load_environment  # noqa: PLC0415 - same
    from infra.errors import UsageError  # noqa: PLC0415 - same

    progress = output.progress_reporter(as_json=True)
    cluster = deployment_target.open_target(load_environment(env), progress).cluster
    if cluster is None:
        raise UsageError(
            f"`{env}` uses an existing cluster, whose registry is not esq's",
            location="ENV",
            remedy="Push the images to a registry of that cluster and name them in the environment.",
        )
    return cluster
