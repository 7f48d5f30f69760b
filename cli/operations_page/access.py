"""Who may read the page: requests to this server's own address that carry its token.

The token is in the fragment of the printed address, which no browser sends anywhere. The page moves it into
the storage of its tab and sends it in the header `Authorization`. A cookie would be sent to every server on
127.0.0.1, since cookies do not tell ports apart.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST = "127.0.0.1"
_TOKEN_BYTES = 32


@dataclass(frozen=True)
class Access:
    """The address and the token of a server.

    Attributes:
        port: its port on 127.0.0.1.
        token: its token, made for this process.
    """

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(_TOKEN_BYTES), repr=False)

    @property
    def link(self) -> str:
        """The address to open in a browser, with the token."""
        return f"http://{HOST}:{self.port}/#token={self.token}"

    def accepts_host(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request names this server: not so after DNS rebinding.

        Args:
            headers: headers of the request, names in lower case.
        """
        return headers.get("host", "") in {f"{HOST}:{self.port}", f"localhost:{self.port}"}

    def accepts_token(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request has the token; takes the same time for every wrong one of its length.

        Args:
            headers: headers of the request, names in lower case.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme == "Bearer" and hmac.compare_digest(token.encode(), self.token.encode())
