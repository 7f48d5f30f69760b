"""Patroni with strict synchronous commits, and with a primary that steps down when it has lost all standbys.

In quorum mode, Patroni 4.1 discards the list of voters when no standby streams. No standby may then replace a
primary that dies, and a primary that starts with an empty list acknowledges commits that are only on its own
disk. Later versions are to keep the list (https://github.com/patroni/patroni/pull/3435). Until then:

- while no standby streams, the voters and the synchronous standbys stay unchanged;
- a commit always waits for a standby.

Patroni holds its leader lock in Kubernetes: a primary that reaches the API server, but none of its standbys,
keeps the lock forever and cannot commit. So a primary that had standbys and has had none for
`STANDBY_LOSS_GRACE_SECONDS` steps down once: a standby that the remaining members can follow takes over. If
none does, e.g. because all standbys are dead, it becomes primary again after Patroni's usual backoff, and
waits.

A primary that died with its node and returns within the lock's `ttl` still holds the lock: Patroni recovers
it in single-user mode, starts it as a standby and promotes it, for about 20 s, while two standbys are ready.
So a member that starts, holds the lock and has no running Postgres leaves the leadership to them.

Patroni reads the dynamic configuration (`bootstrap.dcs`) only when it creates a cluster. Here each primary
updates it to the declared configuration, so that a deploy changes it; undeclared keys, such as a pause, stay.
Each primary also applies the declared accounts: after its promotion, and when their file has changed.

A member reloads its credentials when the kubelet has replaced their files, and publishes in its tags the
digest of those that it has applied: a deploy waits for it instead of restarting the member.

Run in the pod by `start.sh`; it imports nothing but Patroni.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import patroni.postgresql  # first, because Patroni's modules import each other in a circle

# isort: split
import patroni.ha
from patroni import global_config
from patroni.__main__ import main
from patroni.ha import Ha
from patroni.postgresql.sync import SyncHandler

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

STANDBY_LOSS_GRACE_SECONDS = 4.0
"""Less than a pass of Patroni's loop, so that two consecutive passes decide. Postgres drops a silent standby
only after `wal_sender_timeout`, so a stall of 5 s does not reach this limit."""


ACCOUNTS_FILE = Path("/etc/esq/accounts/accounts.sql")
ACCOUNTS_SCRIPT = "/etc/esq/patroni/accounts.sh"
CREDENTIAL_FILES = (
    ACCOUNTS_FILE,
    Path("/etc/esq/accounts/authentication.yml"),
    *(Path("/etc/esq/tls", name) for name in ("tls.crt", "tls.key", "ca.crt")),
)
CREDENTIALS_TAG = "credentials"
"""Tag of a member with the digest of the applied credentials."""
SUPERUSER_DSN = "host=/run/postgresql user=postgres dbname=postgres connect_timeout=5"


def credentials_digest(files: Sequence[Path]) -> str:
    """Return the digest of the files, as the annotation of their Secret states it (`workload.digest`)."""
    sha = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
        content = file.read_text()
        sha.update(f"{file.name}={len(content)}:{content};".encode())
    return sha.hexdigest()[:16]


class Accounts:
    """Applies the accounts with a script that runs beside Patroni's loop, because its commits may wait."""

    def __init__(self) -> None:
        self._script: subprocess.Popen[bytes] | None = None
        self._started = self._applied = b""

    def forget(self) -> None:
        """Assume that nothing is applied, as on a member that is no primary."""
        self._applied = b""

    def apply(self) -> None:
        """Start the script unless the accounts of the file are applied or it still runs."""
        if self.are_applied() or self._script is not None:
            return
        self._started = ACCOUNTS_FILE.read_bytes()
        self._script = subprocess.Popen([ACCOUNTS_SCRIPT, SUPERUSER_DSN])

    def are_applied(self) -> bool:
        """Return whether a script has applied the accounts of the file."""
        if self._script is not None and (code := self._script.poll()) is not None:
            self._script, self._applied = None, self._started if code == 0 else b""
        return ACCOUNTS_FILE.read_bytes() == self._applied


class Credentials:
    """Credentials of this member, as it has loaded them.

    Args:
        files: their files, which the kubelet replaces.
    """

    def __init__(self, files: Sequence[Path] = CREDENTIAL_FILES) -> None:
        self._files = files
        self.digest = credentials_digest(files)

    def reload(self, reload_files: Callable[[], None]) -> None:
        """Read changed files again.

        Args:
            reload_files: makes Patroni and Postgres read them.
        """
        try:
            digest = credentials_digest(self._files)
        except OSError:
            return  # the kubelet replaces them at this moment; the next pass finds them
        if digest != self.digest:
            reload_files()
            self.digest = digest


def is_strict() -> bool:
    """Return whether the cluster is configured for commits on two disks."""
    return bool(global_config.is_synchronous_mode and global_config.is_synchronous_mode_strict)


class StrictSyncHandler(SyncHandler):  # type: ignore[misc]  # Patroni publishes no types
    """Requires a synchronous standby for every commit."""

    def set_synchronous_standby_names(self, sync: Collection[str], num: int | None = None) -> None:
        """Set the synchronous standbys; any standby where Patroni would require none.

        Args:
            sync: names of the standbys.
            num: number of standbys that must acknowledge a commit.
        """
        minimum = 1 if is_strict() and not sync else 0
        super().set_synchronous_standby_names(sync, max(num or 0, minimum) or num)


class StrictHa(Ha):  # type: ignore[misc]  # Patroni publishes no types
    """Steps down after losing all standbys, and after a restart that finds the lock held by itself."""

    def __init__(self, patroni: Any) -> None:  # noqa: ANN401 - Patroni publishes no types
        super().__init__(patroni)
        self._config_published = False
        self._first_recovery = True
        self._accounts = Accounts()
        self._credentials = Credentials()
        self._reset_standby_state()

    def run_cycle(self) -> str:
        """Load changed credentials, and run a pass of Patroni's loop.

        Returns:
            The message that describes what was done, for Patroni's log.
        """
        self._credentials.reload(self._reload_files)
        return str(super().run_cycle())

    def _reload_files(self) -> None:
        """Do what Patroni does after a SIGHUP, but before this member publishes its state."""
        self.patroni.reload_config(sighup=True, local=self.patroni.config.reload_local_configuration())

    def get_effective_tags(self) -> dict[str, Any]:
        """Return the tags that this member publishes, with the digest of the applied credentials."""
        tags: dict[str, Any] = super().get_effective_tags()
        if not self.is_leader() or self._accounts.are_applied():
            tags[CREDENTIALS_TAG] = self._credentials.digest
        return tags

    def _reset_standby_state(self) -> None:
        """Assume that no standby has streamed yet."""
        self._has_streaming_standby = self._had_streaming_standby = False
        self._no_standby_since: float | None = None

    def recover(self) -> str:
        """Start Postgres again or, on the first call of this process, leave the leadership to a standby.

        Returns:
            The message that describes what was done, for Patroni's log.
        """
        first, self._first_recovery = self._first_recovery, False
        if first and is_strict() and self.has_lock() and self.update_lock() and self.is_failover_possible():
            self.watchdog.disable()
            self._step_down()
            return "leaving the leadership to a standby after a restart"
        return str(super().recover())

    def enforce_primary_role(self, message: str, promote_message: str) -> str:
        """Be primary, or step down if all standbys are lost.

        Args:
            message: Patroni's message if this member is primary already.
            promote_message: Patroni's message if it is promoted.

        Returns:
            The message that describes what was done, for Patroni's log.
        """
        if not self.state_handler.is_primary():
            self._reset_standby_state()
            self._accounts.forget()
        elif is_strict() and self._lost_all_standbys() and not self.is_paused():
            self._reset_standby_state()
            self._step_down()
            return "stepping down because no standby streams from this member"
        else:
            self._accounts.apply()
            if not self._config_published:
                self._publish_config()
        return str(super().enforce_primary_role(message, promote_message))

    def _step_down(self) -> None:
        """Release the lock; due to Patroni's own backoff, the other members race for it first."""
        self._released_leader_key_timestamp = time.time()
        self.demote("immediate")

    def _publish_config(self) -> None:
        """Update the dynamic configuration to that of this member's file, once."""
        current = self.cluster.config
        if current:
            desired = {**current.data, **self.patroni.config["bootstrap"]["dcs"]}
            text = json.dumps(desired, separators=(",", ":"))
            self._config_published = desired == current.data or bool(
                self.dcs.set_config_value(text, current.version)
            )

    def _lost_all_standbys(self) -> bool:
        """Return whether no standby has streamed for the grace period, and one did before."""
        standbys = self.state_handler.sync_handler.current_state(self.cluster).active
        self._has_streaming_standby = bool(standbys)
        if self._has_streaming_standby:
            self._had_streaming_standby, self._no_standby_since = True, None
            return False
        self._no_standby_since = self._no_standby_since or time.monotonic()
        lost_for = time.monotonic() - self._no_standby_since
        return self._had_streaming_standby and lost_for > STANDBY_LOSS_GRACE_SECONDS

    def _process_quorum_replication(self) -> None:
        """Update the voters; while no standby streams, leave them unchanged."""
        if self._has_streaming_standby or not is_strict() or not self.cluster.sync.voters:
            super()._process_quorum_replication()


if __name__ == "__main__":
    patroni.ha.Ha = StrictHa
    patroni.postgresql.SyncHandler = StrictSyncHandler
    main()
