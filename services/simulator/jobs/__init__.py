"""Background loops of the simulator."""
