"""One line an event, ours and the libraries' alike, to standard error."""

import logging
import sys
from contextvars import ContextVar
from typing import Literal, Protocol

import orjson
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

Renderer = Literal["json", "console"]


class Asked(Protocol):
    """A request, as far as the log tells whose lines are its own."""

    request_id: str
    tenant: str | None


_request: ContextVar[Asked | None] = ContextVar("request", default=None)


def bind_request(request: Asked) -> None:
    """From here on, every event of this context tells which request it belongs to.

    The request itself is bound and not its facts: they cost nothing until something is logged.
    """
    _request.set(request)


def merge_request(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    request = _request.get()
    if request is not None:
        event.setdefault("request_id", request.request_id)
        event.setdefault("tenant", request.tenant)
    return event


_SHARED: tuple[Processor, ...] = (
    merge_request,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
)


def configure_logging(*, level: str = "INFO", renderer: Renderer = "json") -> None:
    """Sends events from `level` up through `renderer`.

    The service's own events skip the standard library, which would triple their cost; what
    libraries log through it, uvicorn included, is rendered the same. Uvicorn's access lines are
    dropped: the edge writes its own.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_SHARED, *_rendering(renderer)],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(renderer),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=threshold, force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.getLogger("uvicorn.access").disabled = True


def _rendering(renderer: Renderer) -> tuple[Processor, ...]:
    if renderer == "console":
        # Plain: a traceback with locals would show what requests carry.
        return (structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),)
    return (
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_to_json),
    )


def _to_json(event: object, default: object = None) -> str:
    return orjson.dumps(event, default=str).decode()
