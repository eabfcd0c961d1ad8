from service.dataplane.plane import DataPlane as DataPlane
from service.dataplane.types import *  # noqa: F403
from service.dataplane.types import GenerationEvent as GenerationEvent
from service.dataplane.types import SequenceInput as SequenceInput
