"""Readings run at the same time, once each, and fail alone at one deadline."""

from __future__ import annotations

import threading
import time

import pytest

from cli.parallel_reads import ParallelReads
from infra.errors import EsqError
from runbooks.check import UnavailableError


def test_value_is_read_once_for_all_readers() -> None:
    reads, calls = ParallelReads(30), []
    assert [reads.get("nodes", lambda: calls.append(1) or "three") for _ in range(3)] == ["three"] * 3
    assert calls == [1]


def test_hanging_read_is_unavailable_at_the_deadline_for_all_readers() -> None:
    released = threading.Event()
    reads = ParallelReads(0.05)
    started_at = time.monotonic()
    try:
        for _ in range(3):
            with pytest.raises(UnavailableError, match=r"no answer within 0.05 s"):
                reads.get("kafka", lambda: released.wait(30))
        assert time.monotonic() - started_at < 20
    finally:
        released.set()


def test_read_that_was_started_earlier_counts_from_the_start() -> None:
    reads = ParallelReads(30)
    barrier = threading.Barrier(2, timeout=30)
    reads.prefetch("a", barrier.wait)
    reads.get("b", barrier.wait)  # would break the barrier if one waited for the other


def test_error_of_a_read_is_unavailable_with_its_reason() -> None:
    def fail() -> None:
        raise EsqError("the API server rejects a request", remedy="Ask for the right.")

    with pytest.raises(UnavailableError, match="rejects a request") as caught:
        ParallelReads(30).get("leases", fail)
    assert caught.value.remedy == "Ask for the right."


def test_defect_of_a_read_is_raised() -> None:
    with pytest.raises(KeyError):
        ParallelReads(30).get("nodes", lambda: {}["items"])
