"""Arguments and lanes of `esq test`."""

from __future__ import annotations

import pytest

from cli.commands.test import PARTS, SUITES, split_arguments, split_lanes
from infra.errors import UsageError


@pytest.mark.parametrize(
    ("args", "parts", "pytest_args"),
    [
        ([], PARTS, ()),
        (["unit", "lint"], ("unit", "lint"), ()),
        (["unit", "-k", "NAME"], ("unit",), ("-k", "NAME")),
        (["unit", "--", "-x"], ("unit",), ("-x",)),
        (["-k", "NAME"], SUITES, ("-k", "NAME")),
        (["chaos", "-k", "NAME"], ("chaos",), ("-k", "NAME")),
    ],
)
def test_arguments_are_split_into_parts_and_pytest_arguments(
    args: list[str], parts: tuple[str, ...], pytest_args: tuple[str, ...]
) -> None:
    assert split_arguments(args) == (parts, pytest_args)


def test_experiments_run_only_if_named_and_alone() -> None:
    assert "chaos" not in PARTS
    with pytest.raises(UsageError, match="would disturb"):
        split_arguments(["unit", "chaos"])


def test_unknown_part_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no such part: unti"):
        split_arguments(["unti"])


@pytest.mark.parametrize(
    ("parts", "lanes"),
    [
        (PARTS, [("lint", "types", "imports", "unit", "contract", "integration"), ("cluster", "e2e")]),
        (("e2e",), [("e2e",)]),
        (("unit", "lint"), [("unit", "lint")]),
    ],
)
def test_suites_with_a_cluster_run_beside_the_other_parts(
    parts: tuple[str, ...], lanes: list[tuple[str, ...]]
) -> None:
    assert split_lanes(parts) == lanes
