"""Configuration of plain Locust for an environment: the fixtures of a scenario and a file with its access."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING

from cli.actions.load import setup
from cli.actions.platform_access import open_platform, require_simulator
from loadtests.protocol import CONFIG_VARIABLE, LoadConfig
from loadtests.scenarios import locustfile

if TYPE_CHECKING:
    from pathlib import Path

    from cli.environment import Environment
    from infra.progress import ProgressReporter
    from loadtests.protocol import LoadProfile
    from loadtests.scenarios import Scenario


def write_configuration(  # noqa: PLR0913, PLR0917 - one per property of the file
    environment: Environment,
    scenario: Scenario,
    profile: LoadProfile,
    token_seconds: float,
    file: Path,
    steps: ProgressReporter,
) -> str:
    """Create the fixtures of a scenario and write the configuration of its locustfile.

    Args:
        environment: the environment to load.
        scenario: the scenario.
        profile: load profile, its rate in the unit of the scenario.
        token_seconds: lifetime of the tokens in seconds.
        file: file to write, readable by its owner only.
        steps: progress reporter.

    Returns:
        The command line that starts Locust with it.

    Raises:
        UsageError: the environment has no simulator.
        EsqError: the platform rejected a request or did not answer in time.
    """
    require_simulator(environment)
    with open_platform(environment, steps) as access, steps.step("setup") as step:
        target = setup.create_fixtures(scenario, access, token_seconds, step)
    config = LoadConfig(profile=scenario.arrival_profile(profile), target=target)
    with suppress(FileNotFoundError):  # an existing file might be readable by others
        file.unlink()
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
        writer.write(config.model_dump_json())
    return f"{CONFIG_VARIABLE}={shlex.quote(str(file.resolve()))} locust -f {locustfile(scenario.name)}"
