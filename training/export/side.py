"""One direction of one layer, as a loop over time is drawn from it."""

from dataclasses import dataclass

from training.config import Cell
from training.nn.cells import CellWeights, GateNorms


@dataclass(frozen=True, slots=True)
class Side:
    cell: Cell
    hidden: int
    weights: CellWeights
    backward: bool
    name: str
    """Begins the names of all its nodes."""
    finals: tuple[str, ...]
    """The names of its final state: of h, and of c where there is one."""

    @property
    def norms(self) -> GateNorms:
        assert self.weights.norms is not None, "of cells that have them"
        return self.weights.norms
