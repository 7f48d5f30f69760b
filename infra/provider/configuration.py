"""The provider's settings: argument first, then environment variable, then default. Only the text `true` is true."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.provider.kubeconfig import Access, UnreachableError, load

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLES = {
    "enablePatchForce": "PULUMI_K8S_ENABLE_PATCH_FORCE",
    "upsertExistingObjects": "PULUMI_K8S_UPSERT_EXISTING_OBJECTS",
    "enableConfigMapMutable": "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE",
    "enableSecretMutable": "PULUMI_K8S_ENABLE_SECRET_MUTABLE",
    "deleteUnreachable": "PULUMI_K8S_DELETE_UNREACHABLE",
    "skipUpdateUnreachable": "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE",
}
_UNSERVED = {
    "renderYamlToDirectory": "rendering to files",
    "strictMode": "strict mode",
}


@dataclass(frozen=True)
class Configuration:
    """Settings of one provider instance.

    Attributes:
        access: how to reach the cluster; None when it cannot be reached.
        unreachable: why not.
        namespace: where objects go that name no namespace.
        flags: names of the settings that are true.
    """

    access: Access | None
    unreachable: str
    namespace: str
    flags: frozenset[str]


def configure(arguments: Mapping[str, str]) -> Configuration:
    """Return the settings. A kubeconfig that is no good makes the cluster unreachable, and is no error yet.

    Raises:
        ValueError: a setting that this provider does not serve.
    """
    wanted = [what for name, what in _UNSERVED.items() if arguments.get(name) not in (None, "", "false")]
    if arguments.get("enableServerSideApply") == "false":
        wanted.append("client-side apply")
    if wanted:
        raise ValueError(
            f"{', '.join(wanted)}: only the official pulumi-resource-kubernetes plugin does that"
        )
    flags = frozenset(
        name
        for name, variable in _VARIABLES.items()
        if arguments.get(name, os.environ.get(variable)) == "true"
    )
    try:
        access = load(
            arguments.get("kubeconfig", ""), arguments.get("context", ""), arguments.get("cluster", "")
        )
    except UnreachableError as error:
        return Configuration(None, str(error), arguments.get("namespace", "") or "default", flags)
    return Configuration(access, "", arguments.get("namespace", "") or access.namespace, flags)
