"""The fake context is healthy by default, and answers or fails as it is told."""

from __future__ import annotations

from contextlib import suppress

import pytest

from runbooks import checks
from runbooks.check import Check, UnavailableError
from runbooks.fakes import FakeContext, component
from runbooks.readings import Sample


@pytest.mark.parametrize("check", checks.all_checks(), ids=lambda check: check.id)
def test_healthy_environment_has_no_findings(check: Check) -> None:
    with suppress(UnavailableError):
        assert check.function(FakeContext()) is None


def test_reading_that_is_replaced_is_returned() -> None:
    stopped = component("postgres", r0="stopped")
    context = FakeContext(component=(stopped, component("redis", r1="link down")))
    assert context.component("postgres") == stopped
    assert not context.component("redis").healthy
    assert context.component("kafka").healthy


def test_reading_that_fails_raises() -> None:
    context = FakeContext(nodes=UnavailableError("no response"))
    with pytest.raises(UnavailableError, match="no response"):
        context.nodes()


def test_samples_and_queries_are_answered_by_name() -> None:
    sample = Sample({"queue": "campaigns"}, 3.0)
    context = FakeContext(samples={"esq_queue_depth": (sample,)}, metric=lambda query: (sample,) * len(query))
    assert context.samples("esq_queue_depth") == (sample,)
    assert context.samples("other") == ()
    assert context.metric("ab") == (sample, sample)
