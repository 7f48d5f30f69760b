"""A requested load test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadtests.protocol import LoadProfile
    from loadtests.scenarios import Scenario


@dataclass(frozen=True)
class LoadTestRequest:
    """A requested load test.

    Attributes:
        scenario: scenario that determines the requests.
        profile: load profile, its rate in the unit of the scenario.
        workers: number of Locust workers on this machine, or in the cluster.
        remote_workers: number of workers that are started on other machines.
        in_cluster: whether master and workers run in the cluster and not on this machine.
        port: port of Locust's master on loopback; 0 for any.
        experiment: experiment to run concurrently; None for none.
        confirmed_name: name of the environment as confirmation of the experiment.
        command: command line.
    """

    scenario: Scenario
    profile: LoadProfile
    workers: int
    experiment: str | None
    confirmed_name: str | None
    command: str
    remote_workers: int = 0
    in_cluster: bool = False
    port: int = 0

    @property
    def arrival_profile(self) -> LoadProfile:
        """Load profile in arrivals: a campaign is one arrival for all of its recipients."""
        return self.scenario.arrival_profile(self.profile)

    @property
    def meets_declared_profile(self) -> bool:
        """Whether it is at least the scenario's own profile: only then the result counts as a measurement."""
        declared, requested = self.scenario.profile, self.profile
        return (
            (requested.shape, requested.spacing) == (declared.shape, declared.spacing)
            and requested.rate >= declared.rate
            and requested.duration_seconds >= declared.duration_seconds
            and self.experiment is None
        )
