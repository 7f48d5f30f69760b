"""Faults as data: pure functions that return the commands which inject a fault and those which undo it."""

from chaos.faults.fault import Command, Fault, render

__all__ = ["Command", "Fault", "render"]
