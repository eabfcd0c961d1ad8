"""Whether a session may be opened as asked, and the state in which it begins."""

from collections.abc import Mapping

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from service.dataplane.reading import start_state
from service.dataplane.types import OpenRequest
from service.errors import InvalidInput, ModelHasNoState, TooLarge
from service.registry.served_model import ServedModel
from service.sessions.session import Session, SessionState


def check_opening(
    model: ServedModel, request: OpenRequest, *, max_ttl_seconds: float, max_metadata_bytes: int
) -> None:
    """Raises ModelHasNoState, InvalidInput, TooLarge."""
    name = model.manifest.name
    if not model.manifest.causal:
        raise ModelHasNoState(f"{name} reads whole sequences; it has no state", param="model")
    ttl = request.ttl_seconds
    if ttl is not None and not 0 < ttl <= max_ttl_seconds:
        raise InvalidInput(
            f"ttl_seconds is {ttl:g}; RECUR_SESSION_MAX_TTL_SECONDS allows up to "
            f"{max_ttl_seconds:g}",
            param="ttl_seconds",
            details={"min": 0, "max": max_ttl_seconds},
        )
    size = sum(len(key.encode()) + len(text.encode()) for key, text in request.metadata.items())
    if size > max_metadata_bytes:
        raise TooLarge(
            f"{size} bytes of metadata; RECUR_SESSION_MAX_METADATA_BYTES allows "
            f"{max_metadata_bytes}",
            param="metadata",
            details={"limit": max_metadata_bytes},
        )
    if request.fork_of is not None and request.initial_state is not None:
        raise InvalidInput("fork_of and initial_state exclude each other", param="initial_state")


def check_fork(model: ServedModel, source: Session) -> None:
    """A fork goes on where its source stands, on the same version."""
    if (source.model, source.version) != (model.manifest.name, model.manifest.version):
        raise InvalidInput(f"the session is on {source.model}@{source.version}", param="fork_of")


def initial_state(
    model: ServedModel, given: Mapping[str, NDArray[np.float32]] | None
) -> SessionState:
    """The start, with the tensors that the caller gives. Raises InvalidInput."""
    start = start_state(model)
    specs = model.manifest.graph.state
    given = given or {}
    names = [spec.input for spec in specs]
    for name in given:
        if name not in names:
            raise InvalidInput(
                f"no state {name!r}; the model has {', '.join(names)}",
                param=f"initial_state.{name}",
            )
    tensors: list[NDArray[np.float32]] = []
    for spec, zero in zip(specs, start.tensors, strict=True):
        with np.errstate(over="ignore"):
            # A copy, so that the session's state is nobody else's to change.
            tensor = np.array(given.get(spec.input, zero), dtype=np.float32)
        if tensor.shape != spec.row_shape or not np.isfinite(tensor).all():
            raise InvalidInput(
                f"must be finite numbers (float32) of shape {list(spec.row_shape)}",
                param=f"initial_state.{spec.input}",
                details={"shape": list(spec.row_shape)},
            )
        tensors.append(tensor)
    return replace(start, tensors=tuple(tensors))
