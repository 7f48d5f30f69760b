"""Chaos: faults that can always be undone, traffic that tells what they cost, a report against the promises."""
