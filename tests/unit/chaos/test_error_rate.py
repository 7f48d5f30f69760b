"""The rate of errors: intermittent failures are an outage too; one outage within its limit is not aborted."""

from __future__ import annotations

import pytest

from chaos.error_rate import ErrorRate

LIMITS = {"edge.read": 45.0}
PER_SECOND = 10


def first_excess(failed_share: list[float]) -> tuple[int, str]:
    """Return the second of the first excess, and its message; the share of failures is given per second."""
    rate, acked, failed = ErrorRate(), 0, 0
    for second, share in enumerate(failed_share):
        if message := rate.find_excess({"edge.read": (acked, failed)}, LIMITS, float(second)):
            return second, message
        acked += round(PER_SECOND * (1 - share))
        failed += round(PER_SECOND * share)
    return 0, ""


def test_stream_that_mostly_fails_exceeds_its_limit() -> None:
    second, message = first_excess([0.0] * 60 + [0.8] * 300)
    assert 60 + 45 < second <= 60 + 60
    assert message.startswith("4")
    assert "of 600 attempts of edge.read failed within 60 s" in message


@pytest.mark.parametrize(
    "failed_share",
    [
        [0.0] * 60 + [1.0] * 45 + [0.0] * 300,
        [0.7] * 300,
        [1.0] * 44,
        ([1.0] * 20 + [0.0] * 20) * 10,
    ],
)
def test_outage_within_the_limit_is_no_excess(failed_share: list[float]) -> None:
    assert first_excess(failed_share) == (0, "")


def test_stream_without_attempts_is_no_excess() -> None:
    rate = ErrorRate()
    assert [rate.find_excess({"edge.read": (0, 0)}, LIMITS, at) for at in (0.0, 60.0, 120.0)] == ["", "", ""]
