"""Pure rules of the whatsapp service: no I/O, no clock of its own, no framework."""
