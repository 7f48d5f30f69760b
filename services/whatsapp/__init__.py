"""The whatsapp service: queues messages, sends them by the Cloud API and follows their delivery."""
