"""Errors of the services, classified by what the caller can do.

The raiser decides whether a retry helps: after a moment for a `TemporaryError`, after a while for an
`OverloadedError`, never for the others. The HTTP application maps each class to a status code.
"""

from __future__ import annotations


class ServiceError(Exception):
    """The service rejects or cannot complete an operation; the text, for the caller, contains no secrets."""

    status = 500
    title = "Internal Server Error"


class TemporaryError(ServiceError):
    """A dependency is unavailable or slow; a retry may succeed. The cause is chained.

    Attributes:
        retry_after: seconds until a retry makes sense.
    """

    status = 503
    title = "Service Unavailable"

    def __init__(self, detail: str, *, retry_after: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class PartlyStoredError(TemporaryError):
    """A dependency became unavailable after a part was stored: only the caller can repeat the whole.

    A retry by the service would answer as if the caller had sent the request twice.
    """


class OverloadedError(ServiceError):
    """There is more work than can be completed in time; retry later.

    Attributes:
        wait_seconds: seconds that the work would have waited.
        retry_after: seconds until a retry makes sense.
    """

    status = 429
    title = "Too Many Requests"

    def __init__(self, detail: str, *, wait_seconds: float, retry_after: float) -> None:
        super().__init__(detail)
        self.wait_seconds = wait_seconds
        self.retry_after = retry_after


class InvalidError(ServiceError):
    """The request is invalid."""

    status = 422
    title = "Unprocessable Content"


class UnauthorisedError(ServiceError):
    """The token is missing, invalid or expired."""

    status = 401
    title = "Unauthorized"


class ForbiddenError(ServiceError):
    """The token is valid but does not allow the operation."""

    status = 403
    title = "Forbidden"


class NotFoundError(ServiceError):
    """The resource does not exist in the caller's company."""

    status = 404
    title = "Not Found"


class ConflictError(ServiceError):
    """The request contradicts stored data."""

    status = 409
    title = "Conflict"


class TooLargeError(ServiceError):
    """The request body exceeds the limit of its path."""

    status = 413
    title = "Content Too Large"
