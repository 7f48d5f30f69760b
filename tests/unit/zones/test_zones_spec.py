"""Addresses and names of a cluster do not collide."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from infra.zones.spec import ClusterSpec

INTERFACE_NAME_BYTES = 15


def test_host_addresses_are_unique(spec: ClusterSpec) -> None:
    addresses = [spec.gateway, *spec.hosts.values()]
    assert len(set(addresses)) == len(addresses) == 5
    assert all(address in spec.lan for address in addresses)


def test_networks_do_not_overlap(spec: ClusterSpec) -> None:
    networks = [spec.lan, spec.pod_range, spec.service_range]
    assert not any(a.overlaps(b) for a in networks for b in networks if a is not b)
    assert all(spec.pods(zone).subnet_of(spec.pod_range) for zone in spec.zones)
    assert all(network.subnet_of(spec.subnet) for network in networks)


def test_interface_names_fit_the_limit(spec: ClusterSpec) -> None:
    long = ClusterSpec.model_validate({"name": "eightchr", "subnet": "10.1.0.0/16"})
    for cluster in (spec, long):
        names = [cluster.bridge, *(cluster.bridge_port(host) for host in cluster.hosts)]
        assert all(len(name) <= INTERFACE_NAME_BYTES for name in names)
        assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Too Long A Name"),
        ("name", "1st"),
        ("subnet", "10.1.0.0/24"),
        ("subnet", "no network"),
        ("color", "red"),
    ],
)
def test_invalid_fields_are_rejected(field: str, value: str) -> None:
    with pytest.raises(ValidationError):
        ClusterSpec.model_validate({field: value})
