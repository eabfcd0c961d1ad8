"""What a graph is worth: its figure on the test split beside what a trivial predictor reaches."""

from dataclasses import dataclass

from service.artifact.manifest import Metric


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure for the card."""

    name: str
    """File name of the PNG."""
    caption: str
    png: bytes


@dataclass(frozen=True, slots=True)
class Evaluation:
    metrics: tuple[Metric, ...]
    """The first is the one that the recipe is judged by."""
    picture: Picture
    sample: str = ""
    """Text that the model wrote, if it writes."""
    sample_note: str = "Drawn at temperature 0.8:"
    more_pictures: tuple[Picture, ...] = ()

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return (self.picture, *self.more_pictures)
