"""Configuration of a load test: a file, and Locust's command line and web page for the load profile."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from loadtests.protocol import CONFIG_VARIABLE, LoadConfig, LoadProfile
from loadtests.shapes import Shape, Spacing

if TYPE_CHECKING:
    from argparse import Namespace

    from locust.argument_parser import LocustArgumentParser

_DEFAULT = LoadConfig(profile=LoadProfile(shape=Shape.STEADY, rate=10, duration_seconds=60))


@cache
def read_configuration() -> LoadConfig:
    """Return the configuration of this process.

    Raises:
        SystemExit: the file cannot be read; Locust's event handlers swallow other exceptions.
    """
    path = os.environ.get(CONFIG_VARIABLE)
    if not path:
        return _DEFAULT
    try:
        return LoadConfig.model_validate_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SystemExit(
            f"{CONFIG_VARIABLE} names no configuration: {error}\n"
            "Write one: esq load prepare ENV SCENARIO FILE"
        ) from error


def add_options(parser: LocustArgumentParser) -> None:
    """Add the options of the open loop to Locust; their defaults are those of the configuration."""
    profile = read_configuration().profile
    parser.add_argument("--rate", type=float, default=profile.rate, help="Maximum arrivals per second")
    parser.add_argument(
        "--duration", type=float, default=profile.duration_seconds, help="Length of the run, s"
    )
    parser.add_argument(
        "--shape", choices=list(Shape), default=profile.shape.value, help="How the rate changes over the run"
    )
    parser.add_argument(
        "--spacing", choices=list(Spacing), default=profile.spacing.value, help="How arrivals are spaced"
    )
    parser.add_argument("--seed", type=int, default=profile.seed, help="Seed of arrivals and tasks")
    parser.add_argument(
        "--json-messages",
        action="store_true",
        help="Print progress and results as JSON lines",
        include_in_web_ui=False,
    )


def chosen_profile(options: Namespace) -> LoadProfile:
    """Return the load profile that the options describe.

    Raises:
        ValueError: a value is out of range.
    """
    return LoadProfile(
        shape=options.shape,
        rate=options.rate,
        duration_seconds=options.duration,
        spacing=options.spacing,
        seed=options.seed,
    )
