"""The tools of the platform: from PATH when they fit, else built from pinned and verified sources."""

from infra.zones.toolchain.toolchain import Toolchain, ToolStatus

__all__ = ["ToolStatus", "Toolchain"]
