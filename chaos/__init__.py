"""Chaos experiments: reversible fault injection, client-side measurement, SLO evaluation."""
