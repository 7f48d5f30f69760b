"""Actions that several runbooks propose."""

from __future__ import annotations

from runbooks.check import Action, Risk


def _action(  # noqa: PLR0913 - the fields of an action
    name: str,
    description: str,
    command: str,
    risk: Risk = "safe",
    dry_run: str = "",
    *,
    embedded: bool = False,
) -> Action:
    return Action(
        name,
        description,
        tuple(command.split()),
        risk,
        tuple(dry_run.split()) or None,
        embedded_only=embedded,
    )


START_CLUSTER = _action(
    "start-cluster",
    "Starts what does not run of the embedded cluster, and restores its network links.",
    "esq cluster up",
    dry_run="esq cluster status",
    embedded=True,
)
UNDO_FAULTS = _action(
    "undo-faults",
    "Undoes every fault that an experiment left; changes nothing where there is none.",
    "esq chaos rollback {env}",
    dry_run="esq chaos status {env}",
)
WATCH = _action(
    "watch-recovery",
    "Shows what is still missing: automatic recovery is faster than a person, wait for it first.",
    "esq status {env}",
)
DEPLOY = _action(
    "deploy",
    "Restores what the definition declares: Secrets, certificates, images, replicas.",
    "esq deploy {env}",
    "disruptive",
    "esq preview {env}",
)
ROTATE = _action(
    "rotate-credentials",
    "Replaces every key and password by three deploys, while the platform serves.",
    "esq credentials rotate {env} --yes",
    "disruptive",
)
SCRUB = _action(
    "scrub",
    "Reads all data of every replica and names what is damaged.",
    "esq scrub {env}",
)
REPAIR = _action(
    "repair",
    "Deletes the data of damaged replicas and copies it from the others.",
    "esq scrub {env} --repair",
    "destructive",
    "esq scrub {env}",
)
BACK_UP = _action("back-up", "Creates a backup in every repository.", "esq backup create {env}")
DRILL = _action(
    "drill", "Restores the newest backup beside the database and compares it.", "esq backup drill {env}"
)
UNLOCK = _action(
    "unlock",
    "Removes the lock that a dead command left; refuses while its process runs on this machine.",
    "esq state unlock {env} --yes",
    "disruptive",
)
LIST_DEAD_LETTERS = _action("list-dead-letters", "Lists the events with their reasons.", "esq dlq list {env}")
REPLAY_DEAD_LETTERS = _action(
    "replay-dead-letters",
    "Returns the events to their consumers; effects that were applied are not repeated.",
    "esq dlq replay {env} campaigns contacts whatsapp",
    "disruptive",
    "esq dlq list {env}",
)
COMPARE = _action("compare", "Shows what differs from the last deploy.", "esq drift {env}")
FREE_SPACE = _action(
    "free-space",
    "Removes tools, environments and images of this machine that nothing uses.",
    "esq cache prune",
    "disruptive",
    "esq cache prune --preview",
    embedded=True,
)


def read_logs(*workloads: str) -> Action:
    """Return the action that prints the last lines of workloads."""
    return _action(
        "read-logs",
        f"Prints the last ten minutes of {', '.join(workloads)}.",
        f"esq logs --since 10m {{env}} {' '.join(workloads)}",
    )


def restart(workload: str, namespace: str) -> Action:
    """Return the action that replaces the pods of a workload one after the other.

    Args:
        workload: kind and name, e.g. `deployment/whatsapp-api`.
        namespace: its namespace.
    """
    command = f"kubectl -n {namespace} rollout restart {workload}"
    return _action(
        f"restart-{workload.rpartition('/')[2]}",
        "Replaces the pods one after the other.",
        command,
        "disruptive",
        f"{command} --dry-run=server",
    )


def hand_over(pod: str = "postgres-0") -> Action:
    """Return the action that moves the leadership of Postgres to a standby, through any member."""
    patronictl = f"kubectl -n esq-data exec {pod} -c postgres -- patronictl"
    return _action(
        "hand-over-postgres",
        "Only if the primary is what is slow: lets a standby lead, of any zone. Writes wait for seconds.",
        f"{patronictl} switchover postgres --force",
        "disruptive",
        f"{patronictl} list postgres",
    )
