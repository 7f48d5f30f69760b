"""Background loops of the whatsapp service."""
