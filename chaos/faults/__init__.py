"""Faults as data: pure functions that return the commands which hurt and the commands which undo."""

from chaos.faults.fault import Command, Fault, render

__all__ = ["Command", "Fault", "render"]
