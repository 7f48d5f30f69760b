"""Settings of the contacts service."""

from __future__ import annotations

from pydantic import Field

from services.kit.settings import ProcessSettings, RequestDatabaseSettings, TokenSettings


class ApiSettings(ProcessSettings, RequestDatabaseSettings, TokenSettings):
    """Settings of the API process."""

    service: str = "contacts"
    default_country: str = Field(default="BR", pattern=r"^[A-Z]{2}$")
    """ISO 3166 code of the country of phone numbers without country code."""
    import_bytes: int = Field(default=1 << 30, gt=0)
    """Maximum size of an imported file, bytes."""
