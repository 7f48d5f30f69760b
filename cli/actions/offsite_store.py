"""Access to the off-site store that an environment's definition names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.credentials import OffsiteStoreAccess
from infra.errors import UsageError

if TYPE_CHECKING:
    from cli.environment import Environment

KEY_ID_VARIABLE = "ESQ_OFFSITE_STORE_KEY_ID"
KEY_SECRET_VARIABLE = "ESQ_OFFSITE_STORE_KEY_SECRET"  # noqa: S105 - the name of a variable


class _AccessKey(BaseSettings):
    """Access key from the variables of a first deploy, or of one that changes it."""

    model_config = SettingsConfigDict(env_prefix="ESQ_OFFSITE_STORE_", extra="ignore")

    key_id: str | None = None
    key_secret: str | None = None


def offsite_store_access(
    environment: Environment, stored: OffsiteStoreAccess | None
) -> OffsiteStoreAccess | None:
    """Return the access to the off-site store; None when the definition names none.

    Args:
        environment: the environment.
        stored: access of the last deploy, whose key is kept; None at the first deploy.

    Raises:
        UsageError: the key is neither stored nor in the variables.
    """
    store = environment.definition.offsite_store
    if store is None:
        return None
    key = _AccessKey()
    key_id = key.key_id or (stored.key_id if stored else None)
    key_secret = key.key_secret or (stored.key_secret if stored else None)
    if not key_id or not key_secret or (key.key_id is None) != (key.key_secret is None):
        raise UsageError(
            "the access key of the off-site store is incomplete",
            location=f"{KEY_ID_VARIABLE}, {KEY_SECRET_VARIABLE}",
            remedy="Set both for this deploy; later deploys keep the key with the credentials.",
        )
    return OffsiteStoreAccess(
        url=store.url,
        region=store.region,
        bucket=store.bucket,
        key_id=key_id,
        key_secret=key_secret,
        ca_certificate=store.ca_certificate.read_text(encoding="utf-8"),
        ip_address=store.ip_address,
    )
