"""One line an event, ours and the libraries' alike, to standard error."""

import logging
import sys
from typing import Literal

import orjson
import structlog
from structlog.types import Processor

Renderer = Literal["json", "console"]

_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
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
