"""What can go wrong, by what the caller can do about it.

The raiser says whether trying again helps: in a moment for a `TemporaryError`, after a while for a
`BusyError`, never for the rest. HTTP faces turn each into a status.
"""

from __future__ import annotations


class ServiceError(Exception):
    """Something a service refuses or cannot do; the text is for the caller and holds nothing private."""

    status = 500
    title = "Failed"


class TemporaryError(ServiceError):
    """A dependency is away or slow: the same thing may work in a moment. Its cause is chained.

    Attributes:
        retry_after: seconds after which trying again is worth while.
    """

    status = 503
    title = "For the moment unavailable"

    def __init__(self, what: str, *, retry_after: float = 1.0) -> None:
        super().__init__(what)
        self.retry_after = retry_after


class BusyError(ServiceError):
    """There is more work than could be done in time: come back later rather than wait here.

    Attributes:
        wait: seconds that the work would have waited.
        retry_after: seconds after which trying again is worth while.
    """

    status = 429
    title = "Too much to do"

    def __init__(self, what: str, *, wait: float, retry_after: float) -> None:
        super().__init__(what)
        self.wait = wait
        self.retry_after = retry_after


class InvalidError(ServiceError):
    """What was asked for makes no sense as it was asked."""

    status = 422
    title = "Not acceptable"


class UnauthorisedError(ServiceError):
    """No token, or one that is not ours, or one that has ended."""

    status = 401
    title = "Who is asking?"


class ForbiddenError(ServiceError):
    """The token is good and does not allow this."""

    status = 403
    title = "Not allowed"


class NotFoundError(ServiceError):
    """There is no such thing in the caller's company."""

    status = 404
    title = "Not found"


class ConflictError(ServiceError):
    """It contradicts what is stored already."""

    status = 409
    title = "Conflict"


class TooLargeError(ServiceError):
    """The request's body is larger than this address takes."""

    status = 413
    title = "Too large"
