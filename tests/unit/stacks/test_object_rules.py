"""Rules for all objects of all layers that let an interrupted deploy find what it created."""

from __future__ import annotations

import pytest

from infra.live_objects import LIST_PATHS
from infra.names import PART_OF_LABEL, PRODUCT
from tests.unit.stacks.pulumi_recorder import Recording


@pytest.mark.parametrize("layer", ["cluster_layer", "data_layer", "services_layer", "observability_layer"])
def test_every_object_has_a_fixed_name_and_our_label(layer: str, request: pytest.FixtureRequest) -> None:
    recording: Recording = request.getfixturevalue(layer)
    objects = [
        (token, name, inputs)
        for token, name, inputs in recording.resources
        if token.startswith("kubernetes:")
    ]
    assert objects
    violations = [
        f"{token} {name}"
        for token, name, inputs in objects
        if not inputs["metadata"].get("name")
        or inputs["metadata"].get("labels", {}).get(PART_OF_LABEL) != PRODUCT
    ]
    assert violations == []


def test_digest_of_live_objects_covers_exactly_the_declared_kinds(
    cluster_layer: Recording,
    data_layer: Recording,
    services_layer: Recording,
    observability_layer: Recording,
) -> None:
    declared = {
        token.removeprefix("kubernetes:")
        for layer in (cluster_layer, data_layer, services_layer, observability_layer)
        for token, _, _ in layer.resources
        if token.startswith("kubernetes:")
    }
    assert declared == set(LIST_PATHS)
