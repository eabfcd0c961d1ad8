"""Whether the service may be sent work. The application moves the state, everyone reads it."""

from collections.abc import Callable, Mapping
from enum import StrEnum

from service.errors import Draining, Starting


class HealthState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Health:
    """Starts as `starting`. `models` tells which of the served models are ready, by name."""

    def __init__(self, models: Callable[[], Mapping[str, bool]] = dict) -> None:
        self.state = HealthState.STARTING
        self._models = models

    def admit(self) -> None:
        """Raises Starting or Draining where new work cannot begin. Work in flight goes on."""
        match self.state:
            case HealthState.STARTING:
                raise Starting("the service is starting: its models are not loaded yet")
            case HealthState.DRAINING:
                raise Draining("the service is draining: it finishes its work and takes no more")
            case HealthState.READY:
                return

    def ready_models(self) -> dict[str, bool]:
        """Raises Starting or Draining while the service, or one of its models, is not ready."""
        models = dict(self._models())
        self.admit()
        waiting = sorted(name for name, ready in models.items() if not ready)
        if waiting:
            error = Starting(f"not ready: {', '.join(waiting)}")
            error.details["models"] = models
            raise error
        return models
