"""What runs in the data layer, by version: one table for image builds, labels and documents."""

from __future__ import annotations

POSTGRES = "15"
"""Major version; the distribution's security updates decide the rest."""
PATRONI = "4.1.5"
"""The first series whose quorum commit lets any of several standbys acknowledge."""
REDIS = "7.0"
KAFKA = "4.3.1"
GARAGE = "2.5.0"
