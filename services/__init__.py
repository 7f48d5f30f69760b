"""The application: domain services over `kit` over `contracts`. It imports nothing of the toolkit."""
