"""Every error the hub reports to a client or an operator, in one tree.

    HubError                    knows its HTTP status and title (RFC 9457)
      BadRequest            400 not JSON, or a query that cannot be read
      Unauthorized          401 no credential, or a wrong one
      Forbidden             403 the credential lacks something
      NotFound              404
      Conflict              409
      Gone                  410 it existed, but is no longer stored
      TooLarge              413 an event, a batch or a body is over its limit
      UnsupportedMedia      415
      Misdirected           421 a Host that is not this server's
      InvalidEvent          422 JSON, but not a valid event: names the field
      InvalidBody           422 JSON, but not what the endpoint takes
      TooMany               429 with Retry-After
      Unavailable           503 draining, full, or storage cannot write
    SettingsError               a setting is malformed: the server does not start
    StorageError                the history cannot be opened: the server does not start

Views raise these; one error handler in streaming_hub.web turns them into problem+json. Nothing else builds error JSON.
"""

from __future__ import annotations

from typing import Any, ClassVar


class HubError(Exception):
    """An error with an HTTP status.

    Args:
        detail: one sentence that names the thing, the value and what to do.
        **extra: further members of the problem document (RFC 9457, section 3.2), such as `field`.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra

    def headers(self) -> dict[str, str]:
        """Return HTTP headers that belong to this error."""
        return {}


class BadRequest(HubError):
    """The request cannot be read."""

    status = 400
    title = "Bad request"


class Unauthorized(HubError):
    """The credential is missing or wrong."""

    status = 401
    title = "Unauthorized"

    def headers(self) -> dict[str, str]:
        """Return the challenge that RFC 9110, section 11.6.1, requires."""
        return {"WWW-Authenticate": 'Bearer realm="hub"'}


class Forbidden(HubError):
    """The credential is valid, but does not allow the request."""

    status = 403
    title = "Forbidden"

    def headers(self) -> dict[str, str]:
        """Return the challenge for an insufficient scope (RFC 6750, section 3.1)."""
        return {"WWW-Authenticate": 'Bearer realm="hub", error="insufficient_scope"'}


class NotFound(HubError):
    """The resource does not exist."""

    status = 404
    title = "Not found"


class Conflict(HubError):
    """The current state does not allow the request."""

    status = 409
    title = "Conflict"


class Gone(HubError):
    """The resource existed, but is no longer stored."""

    status = 410
    title = "Gone"


class TooLarge(HubError):
    """A body, an event or a batch is over its limit."""

    status = 413
    title = "Too large"


class UnsupportedMedia(HubError):
    """A content type or encoding that the endpoint does not take."""

    status = 415
    title = "Unsupported media type"


class Misdirected(HubError):
    """The Host header names another server (RFC 9110, section 15.5.20)."""

    status = 421
    title = "Misdirected request"


class InvalidEvent(HubError):
    """JSON, but not a valid event."""

    status = 422
    title = "Invalid event"


class InvalidBody(HubError):
    """JSON, but not what the endpoint takes."""

    status = 422
    title = "Invalid body"


class TooMany(HubError):
    """A rate limit was reached.

    Args:
        detail: which limit.
        retry_after: seconds until a retry makes sense.
    """

    status = 429
    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after

    def headers(self) -> dict[str, str]:
        """Return `Retry-After`."""
        return {"Retry-After": str(self.retry_after)}


class Unavailable(HubError):
    """The hub cannot do this at the moment; retry later.

    Args:
        detail: why.
        retry_after: seconds until a retry makes sense.
    """

    status = 503
    title = "Unavailable"

    def __init__(self, detail: str, *, retry_after: int = 5) -> None:
        super().__init__(detail)
        self.retry_after = retry_after

    def headers(self) -> dict[str, str]:
        """Return `Retry-After`."""
        return {"Retry-After": str(self.retry_after)}


class SettingsError(Exception):
    """A setting is missing or malformed. The message names it, shows the value and says what is expected."""


class StorageError(Exception):
    """The history cannot be opened. The message names the file and says what to do."""
