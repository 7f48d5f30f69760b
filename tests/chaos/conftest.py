"""The environment that the experiments run on, and the table of their results.

./esq test chaos [-k NAME] [--environment ENV] [--confirm ENV] [--repeat-valid]
"""

from __future__ import annotations

import pytest

from chaos.capabilities import ClusterKind
from cli.actions.chaos import report_store
from cli.environment import LOCAL, load_environment
from tests.servers.experiment_suite import ExperimentSuite

_SUITE = pytest.StashKey[ExperimentSuite]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("chaos", "experiments on a deployed environment")
    group.addoption(
        "--environment", default=LOCAL, help="Name of a deployed environment; `local` by default."
    )
    group.addoption("--confirm", default="", help="Its name again, unless its cluster is embedded.")
    group.addoption(
        "--repeat-valid", action="store_true", help="Run also what has a valid report of this commit."
    )


@pytest.fixture(autouse=True)
def _without_esq_variables() -> None:
    """Keep the `ESQ_...` variables: they name the caller's environment."""


@pytest.fixture(scope="session")
def suite(request: pytest.FixtureRequest) -> ExperimentSuite:
    """The experiments of the environment, which must be healthy before the first of them."""
    name = request.config.getoption("--environment")
    environment = load_environment(name)
    suite = ExperimentSuite(
        name,
        report_store(environment),
        kind=ClusterKind.EMBEDDED if environment.is_local_cluster else ClusterKind.KUBERNETES,
        confirm=request.config.getoption("--confirm"),
    )
    if not suite.is_healthy():
        pytest.exit(f"`{name}` is not deployed or not healthy: see `esq status {name}`.", returncode=1)
    request.config.stash[_SUITE] = suite
    return suite


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the result of each experiment.

    Args:
        terminalreporter: prints them.
        config: holds them.
    """
    suite = config.stash.get(_SUITE, None)
    if suite is not None:
        terminalreporter.section("experiments")
        for result in suite.results:
            for line in result.lines():
                terminalreporter.write_line(line)
