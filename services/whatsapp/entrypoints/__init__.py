"""The processes of the whatsapp service."""
