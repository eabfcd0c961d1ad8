"""Everything that can go wrong, by whose fault it is. Knows no status codes.

RecurError
├── ClientError                 the caller can mend it
│   ├── MalformedRequest        the bytes are not what the route reads
│   ├── InvalidInput            well-formed, but the model cannot take it
│   │   ├── ModelHasNoState     a session or a stream asked of a model that cannot be cut in time
│   │   ├── TaskMismatch        the model does another task
│   │   └── StateNotFinite      the step would have left NaN or infinity in the state
│   ├── TooLarge                over a limit that a setting names
│   ├── Unauthenticated         no key, or one that is not known
│   ├── NotFound                ModelNotFound, SessionNotFound
│   ├── Conflict                SessionExists, StepMismatch
│   ├── Gone                    SessionEnded, SessionExpired, SessionEvicted, SessionLost
│   └── QuotaExceeded           QueueFull, TooManySessions, TooManyStreams: later it may do
├── Unavailable                 the server cannot now: Starting, Draining
├── DeadlineExceeded            the caller's deadline passed before the answer
├── Cancelled                   the caller left
├── ModelFailed                 the runtime refused or broke: our fault
├── DeviceUnavailable           the device that the settings ask for is not there: the operator's
└── ArtifactError               an artifact on disk is not what it says it is: the operator's fault
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self


class RecurError(Exception):
    """Base of all domain errors.

    `param` names the field at fault, `details` holds facts a program can use (limits, expected
    values), `code` is stable and documented.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(
        self, message: str, *, param: str | None = None, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.details = dict(details or {})

    def kept(self) -> Self:
        """As a value: without the frames that raised it or its cause, which often hold it in turn.

        Such a circle keeps a whole request in memory until the collector comes by, and that is
        seldom.
        """
        self.__cause__ = self.__context__ = None
        return self.with_traceback(None)


class ClientError(RecurError):
    code = "bad_request"


class MalformedRequest(ClientError):
    code = "malformed_request"


class InvalidInput(ClientError):
    code = "invalid_input"


class ModelHasNoState(InvalidInput):
    code = "model_has_no_state"


class TaskMismatch(InvalidInput):
    code = "task_mismatch"


class StateNotFinite(InvalidInput):
    code = "state_not_finite"


class TooLarge(ClientError):
    code = "too_large"


class Unauthenticated(ClientError):
    code = "invalid_api_key"


class NotFound(ClientError):
    code = "not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"


class SessionNotFound(NotFound):
    code = "session_not_found"


class Conflict(ClientError):
    code = "conflict"


class SessionExists(Conflict):
    code = "session_exists"


class StepMismatch(Conflict):
    code = "step_mismatch"


class Gone(ClientError):
    code = "gone"


class SessionEnded(Gone):
    code = "session_ended"


class SessionExpired(Gone):
    code = "session_expired"


class SessionEvicted(Gone):
    code = "session_evicted"


class SessionLost(Gone):
    code = "session_lost"


class QuotaExceeded(ClientError):
    """`retry_after_seconds` is an honest guess of when to try again."""

    code = "quota_exceeded"

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float = 1.0,
        param: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, param=param, details=details)
        self.retry_after_seconds = retry_after_seconds


class QueueFull(QuotaExceeded):
    code = "queue_full"


class TooManySessions(QuotaExceeded):
    code = "too_many_sessions"


class TooManyStreams(QuotaExceeded):
    code = "too_many_streams"


class Unavailable(RecurError):
    code = "unavailable"

    def __init__(self, message: str, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Starting(Unavailable):
    code = "starting"


class Draining(Unavailable):
    code = "draining"


class DeadlineExceeded(RecurError):
    code = "deadline_exceeded"


class Cancelled(RecurError):
    code = "cancelled"


class ModelFailed(RecurError):
    code = "model_failed"


class DeviceUnavailable(RecurError):
    code = "device_unavailable"


class ArtifactError(RecurError):
    """`file` is the artifact's file at fault, `field` the place in it."""

    code = "artifact_invalid"

    def __init__(self, message: str, *, file: str, field: str | None = None) -> None:
        where = f"{file}: {field}" if field else file
        super().__init__(f"{where}: {message}", param=field, details={"file": file})
        self.file = file
        self.field = field
