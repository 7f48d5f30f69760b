"""What a read may return: the content that was written, no older than an acknowledged write.

A service that answers every read with something else than was written is not available. The content of a
write follows from its run and number, so that a reader needs no memory of it.
"""

from __future__ import annotations

from chaos.traffic.open_loop import CorruptReadError, StaleReadError

OBJECT_BYTES = 512


def content(run_name: str, sequence: int) -> str:
    """Return the content of a write.

    Args:
        run_name: name of the run.
        sequence: number of the write.
    """
    return f"{run_name}:{sequence}"


def parse_content(run_name: str, value: bytes | str | None) -> int | None:
    """Return the number of the write that has this content; None if there is none.

    Args:
        run_name: name of the run.
        value: the content that was read.
    """
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    number = text.rpartition(":")[2]
    return int(number) if number.isdecimal() and text == content(run_name, int(number)) else None


def object_content(run_name: str, sequence: int) -> bytes:
    """Return the content of an object of `OBJECT_BYTES`: every byte depends on run and number.

    Args:
        run_name: name of the run.
        sequence: number of the write.
    """
    line = f"{content(run_name, sequence)}\n".encode()
    return (line * (OBJECT_BYTES // len(line) + 1))[:OBJECT_BYTES]


def require_content(actual: object, expected: object, subject: str) -> None:
    """Require that a read returned what was written.

    Args:
        actual: the content that was read.
        expected: the content that was written.
        subject: what was read, for the error.

    Raises:
        CorruptReadError: it is another content.
    """
    if actual != expected:
        raise CorruptReadError(f"{subject} has another content than was written: {str(actual)[:60]!r}")


class AckedWrites:
    """The acknowledged writes of a client, from which its reader chooses.

    Attributes:
        newest: highest number that a read has to return at least; -1 before the first acknowledgement.
    """

    def __init__(self) -> None:
        self.newest = -1
        self._numbers: dict[int, None] = {}

    def __len__(self) -> int:
        """Return the number of different acknowledged writes."""
        return len(self._numbers)

    def add(self, sequence: int) -> None:
        """Record a write whose acknowledgement has arrived."""
        self._numbers[sequence] = None
        self.newest = max(self.newest, sequence)

    def choose(self, read: int) -> int | None:
        """Return the write to read: the newest one and an earlier one in turns, so that old data is read too.

        Args:
            read: number of the read.

        Returns:
            Its number; None before the first acknowledgement.
        """
        if not self._numbers:
            return None
        if read % 2 == 0:
            return self.newest
        return list(self._numbers)[read // 2 % len(self._numbers)]


class MonotonicReads:
    """Reads of one key never go back: not behind an acknowledged write, nor behind an earlier read."""

    def __init__(self) -> None:
        self._newest_read = -1

    def floor(self, acked: int) -> int:
        """Return the oldest version that a read which starts now may return.

        Args:
            acked: the newest acknowledged version.
        """
        return max(acked, self._newest_read)

    def check(self, version: int, floor: int) -> None:
        """Check the version that a read returned.

        Args:
            version: the version.
            floor: result of `floor` before the read started.

        Raises:
            StaleReadError: it is older.
        """
        self._newest_read = max(self._newest_read, version)
        if version < floor:
            raise StaleReadError("an older version than an acknowledged or read one")
