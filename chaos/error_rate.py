"""Rate of errors of the streams: a stream that answers now and then is never silent, and yet unavailable."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ERROR_RATIO = 0.75
"""Share of the attempts of a period that may fail. The period is so long that this share of it is the longest
silence: an outage that may be silent is not aborted for its errors."""

Attempts = tuple[int, int]
"""Number of attempts that were acknowledged, and of those that were not, since the start."""


class ErrorRate:
    """Attempts of all streams during the last period of each."""

    def __init__(self) -> None:
        self._samples: dict[str, list[tuple[float, Attempts]]] = {}

    def find_excess(self, attempts: Mapping[str, Attempts], limits: Mapping[str, float], now: float) -> str:
        """Add a sample; return a message about the first stream with too many errors, or an empty string.

        Args:
            attempts: attempts by stream.
            limits: longest silence of each of these streams in seconds.
            now: time of the sample in seconds.
        """
        for stream, total in attempts.items():
            period = limits[stream] / MAX_ERROR_RATIO
            samples = self._samples.setdefault(stream, [])
            samples.append((now, total))
            while len(samples) > 1 and samples[1][0] <= now - period:
                del samples[0]
            if samples[0][0] > now - period:
                continue  # not observed for long enough
            acked, failed = (after - before for after, before in zip(total, samples[0][1], strict=True))
            if failed > MAX_ERROR_RATIO * (acked + failed):
                return f"{failed} of {acked + failed} attempts of {stream} failed within {period:.0f} s"
        return ""
