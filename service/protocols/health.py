"""Whether the service may be sent work. The application moves the state, everyone reads it."""

from collections.abc import Callable, Mapping
from enum import StrEnum

from service.errors import Draining, Starting
from service.registry.registry import READY


class HealthState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Health:
    """Starts as `starting`. `models` tells of each configured model: `ready`, or why it is not."""

    def __init__(self, models: Callable[[], Mapping[str, str]]) -> None:
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

    def ready_models(self) -> dict[str, str]:
        """Raises Starting or Draining while the service, or one of its models, is not ready."""
        self.admit()
        models = dict(self._models())
        waiting = [f"{name}: {state}" for name, state in sorted(models.items()) if state != READY]
        if waiting or not models:
            error = Starting("not ready: " + ("; ".join(waiting) or "there is no model to serve"))
            error.details["models"] = models
            raise error
        return models
