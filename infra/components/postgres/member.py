"""A member of the database cluster: Patroni with strict commits, and with a primary that makes way.

Patroni 4.1 forgets, in quorum mode, what the standbys have when none of them streams: it empties the list of
voters, so that nobody may follow a primary that then dies; and a primary that starts with an empty list
acknowledges commits that are on its own disk only. Later versions are to keep the list
(https://github.com/patroni/patroni/pull/3435); until then:

- while no standby streams, the voters stay as they are, and so does what commits wait for;
- a commit always waits for some standby.

And Patroni holds a lock in Kubernetes: a primary that reaches the API server, but none of its standbys, keeps
it for ever and cannot commit. So one that had standbys and has had none for `PATIENCE_SECONDS` steps down,
once: of the others, one that the rest of them can follow takes over. If nobody does, as with all standbys
dead, it is primary again after Patroni's usual backoff, and waits.

And a primary that died with its node and returns within the lock's `ttl` still holds the lock: Patroni
recovers it in single-user mode, starts it as a standby and promotes it, for some 20 s, while two standbys
stand ready. So a member that starts and finds the lock its own, and no Postgres running, leaves the lead to
them.

Last, what the members share (`bootstrap.dcs`) is read by Patroni in a new cluster only. Here each primary
brings it up to what is declared, so that a deploy changes it; what is not declared, as a pause, stays.

Run in the pod by `start.sh`; it needs nothing but Patroni.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import patroni.postgresql  # first, as Patroni's modules import each other in a circle

# isort: split
import patroni.ha
from patroni import global_config
from patroni.__main__ import main
from patroni.ha import Ha
from patroni.postgresql.sync import SyncHandler

if TYPE_CHECKING:
    from collections.abc import Collection

PATIENCE_SECONDS = 4.0
"""Less than a pass of Patroni's loop, so that two looks in a row decide. Postgres itself has given up on a
silent standby for `wal_sender_timeout` by then, so that no stall of 5 s comes this far."""


def strict() -> bool:
    """Tell whether the cluster's configuration asks for commits on two disks."""
    return bool(global_config.is_synchronous_mode and global_config.is_synchronous_mode_strict)


class StrictSyncHandler(SyncHandler):  # type: ignore[misc]  # Patroni publishes no types
    """Lets no commit do without a standby."""

    def set_synchronous_standby_names(self, sync: Collection[str], num: int | None = None) -> None:
        """Set what commits wait for: any standby where Patroni would have none."""
        least = 1 if strict() and not sync else 0
        super().set_synchronous_standby_names(sync, max(num or 0, least) or num)


class StrictHa(Ha):  # type: ignore[misc]  # Patroni publishes no types
    """Remembers the standbys it had, and makes way when it has had none for long, or when it returns."""

    def __init__(self, patroni: Any) -> None:  # noqa: ANN401 - Patroni publishes no types
        super().__init__(patroni)
        self._declared = False
        self._returns = True
        self._begin()

    def _begin(self) -> None:
        """Know of no standby yet."""
        self._streaming = self._accompanied = False
        self._alone_since: float | None = None

    def recover(self) -> str:
        """Have Postgres run again or, right after this process began, have a standby lead that runs."""
        returns, self._returns = self._returns, False
        if returns and strict() and self.has_lock() and self.update_lock() and self.is_failover_possible():
            self.watchdog.disable()
            self._make_way()
            return "leaving the lead to a standby, after a return"
        return str(super().recover())

    def enforce_primary_role(self, message: str, promote_message: str) -> str:
        """Be primary, or make way."""
        if not self.state_handler.is_primary():
            self._begin()
        elif strict() and self._deserted() and not self.is_paused():
            self._begin()
            self._make_way()
            return "stepping down, since no standby streams from here"
        elif not self._declared:
            self._declare()
        return str(super().enforce_primary_role(message, promote_message))

    def _make_way(self) -> None:
        """Let go of the lock; by Patroni's own backoff the others race for it, and not this member."""
        self._released_leader_key_timestamp = time.time()
        self.demote("immediate")

    def _declare(self) -> None:
        """Change what the members share to what this member's file says, once."""
        held = self.cluster.config
        if held:
            wanted = {**held.data, **self.patroni.config["bootstrap"]["dcs"]}
            text = json.dumps(wanted, separators=(",", ":"))
            self._declared = wanted == held.data or bool(self.dcs.set_config_value(text, held.version))

    def _deserted(self) -> bool:
        """Look who streams; tell whether nobody has for long, and somebody did before."""
        self._streaming = bool(self.state_handler.sync_handler.current_state(self.cluster).active)
        if self._streaming:
            self._accompanied, self._alone_since = True, None
            return False
        self._alone_since = self._alone_since or time.monotonic()
        return self._accompanied and time.monotonic() - self._alone_since > PATIENCE_SECONDS

    def _process_quorum_replication(self) -> None:
        """Follow the standbys that stream; while none does, leave everything as it is."""
        if self._streaming or not strict() or not self.cluster.sync.voters:
            super()._process_quorum_replication()


if __name__ == "__main__":
    patroni.ha.Ha = StrictHa
    patroni.postgresql.SyncHandler = StrictSyncHandler
    main()
