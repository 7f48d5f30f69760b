"""Settings of the contacts service."""

from __future__ import annotations

from pydantic import Field

from services.kit.settings import DatabaseSettings, ProcessSettings, TokenSettings


class Settings(ProcessSettings, DatabaseSettings, TokenSettings):
    """What the contacts API is given."""

    service: str = "contacts"
    default_country: str = Field(default="BR", pattern=r"^[A-Z]{2}$")
    """ISO 3166 code of the country that numbers without a country code belong to."""
    import_bytes: int = Field(default=1 << 30, gt=0)
    """Largest file that is taken."""
