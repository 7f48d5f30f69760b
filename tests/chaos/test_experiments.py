"""Every experiment runs to its end on a deployed environment, and leaves nothing behind.

A violated SLO is a result, not a failure of the run: it is in the table, and `esq slo ENV` reports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chaos import experiment
from chaos.capabilities import runs_on

if TYPE_CHECKING:
    from tests.servers.experiment_suite import ExperimentSuite

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(2400)]


@pytest.mark.parametrize("name", experiment.names())
def test_experiment_has_a_valid_run(
    name: str, suite: ExperimentSuite, request: pytest.FixtureRequest
) -> None:
    if suite.kind not in runs_on(experiment.load(name).document):
        pytest.skip(f"does not run on a cluster of kind {suite.kind}")
    if not request.config.getoption("--repeat-valid") and (earlier := suite.find_valid(name)):
        suite.results.append(earlier)
        pytest.skip(f"valid: {earlier.page}")
    result = suite.run(name)
    suite.results.append(result)
    assert not suite.has_open_fault()
    assert (result.outcome, result.reasons) == ("valid", ()), result.page
