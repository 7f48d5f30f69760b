"""Chaos: faults that can be undone, traffic that tells what they cost, and a report against the promises."""
