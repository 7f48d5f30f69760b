"""Applies the permissions of `services.contracts.kafka_access` to the brokers' access control list (ACL)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from confluent_kafka.admin import (  # type: ignore[attr-defined] # its stubs forget to export what they re-export
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from services.contracts.kafka_access import GENERATIONS, account_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from confluent_kafka.admin import AdminClient

    from services.contracts.kafka_access import Permission

CALL_TIMEOUT_SECONDS = 15.0
_RESOURCES = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP}
_OPERATIONS = {"read": AclOperation.READ, "write": AclOperation.WRITE}
_ANY_HOST = "*"
log = logging.getLogger(__name__)


def apply_permissions(admin: AdminClient, permissions: Iterable[Permission]) -> None:
    """Add missing entries to the access control list, then remove all that are not declared.

    Args:
        admin: client of an account that may change the list.
        permissions: all permissions of the services.

    Raises:
        KafkaException: the brokers rejected a request, or were unavailable.
    """
    declared = {entry for permission in permissions for entry in _entries(permission)}
    existing = set(admin.describe_acls(_any_entry()).result(CALL_TIMEOUT_SECONDS))
    if missing := sorted(declared - existing):
        for created in admin.create_acls(missing, request_timeout=CALL_TIMEOUT_SECONDS).values():
            created.result(CALL_TIMEOUT_SECONDS)
    if obsolete := sorted(existing - declared):
        filters = [_filter(entry) for entry in obsolete]
        for deleted in admin.delete_acls(filters, request_timeout=CALL_TIMEOUT_SECONDS).values():
            deleted.result(CALL_TIMEOUT_SECONDS)
    for verb, entries in (("Granted", missing), ("Revoked", obsolete)):
        for entry in entries:
            log.info("%s %s", verb, entry, extra={"action": "apply_permissions"})


def _entries(permission: Permission) -> list[AclBinding]:
    """Return the entries of a permission: one for each account of the service."""
    return [
        AclBinding(
            _RESOURCES[permission.resource],
            permission.name,
            ResourcePatternType.LITERAL,
            f"User:{account_name(permission.service, generation)}",
            _ANY_HOST,
            _OPERATIONS[permission.operation],
            AclPermissionType.ALLOW,
        )
        for generation in GENERATIONS
    ]


def _any_entry() -> AclBindingFilter:
    return AclBindingFilter(
        ResourceType.ANY,
        None,  # type: ignore[arg-type] # matches every name
        ResourcePatternType.ANY,
        None,  # type: ignore[arg-type] # matches every account
        None,  # type: ignore[arg-type] # matches every host
        AclOperation.ANY,
        AclPermissionType.ANY,
    )


def _filter(entry: AclBinding) -> AclBindingFilter:
    """Return a filter that matches this entry only."""
    return AclBindingFilter(
        entry.restype,
        entry.name,
        entry.resource_pattern_type,
        entry.principal,
        entry.host,
        entry.operation,
        entry.permission_type,
    )
