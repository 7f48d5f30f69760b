"""The Kubernetes provider plugin, for machines where the official one is not installed. Knows nothing of the rest of esq.

What it must do is written down in `README.md` and held by `tests/contract/provider`.
"""

from infra.provider.folder import plugin_folder
from infra.provider.server import ProviderServer

__all__ = ["ProviderServer", "plugin_folder"]
