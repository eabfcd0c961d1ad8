"""What becomes of a row's outputs when the row is only read: kept, or scored."""

from collections.abc import Callable
from collections.abc import Sequence as Rows
from typing import Any, ClassVar, NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.artifact.scores import log_softmax
from service.engine.row_output import RowOutput
from service.engine.sequence import Advance
from service.errors import InvalidInput, RecurError, StateNotFinite
from service.runtime.base import State
from service.runtime.state import own


class Finished(msgspec.Struct, frozen=True):
    """The last item of a sequence that was read to its end."""

    end: RowOutput
    """What the last chunk gave; it keeps the arrays of its whole batch alive."""
    answer: NDArray[Any] | None = None
    """What was wanted of the last step."""
    outputs: dict[str, NDArray[np.float32]] | None = None
    """Each output at every step, `[steps, ...]`, where that was asked for."""
    token_log_likelihoods: NDArray[np.float64] | None = None
    attention: NDArray[np.float32] | None = None
    """`[steps, heads]`, where that was asked for."""

    @property
    def state(self) -> State:
        """A copy of its own: most answers need none. Raises StateNotFinite.

        Looked at here and not after each call: what no number of the answer shows does no harm
        until a state is kept, and NaN does not heal meanwhile.
        """
        return finite_state(self.end)


class Wanted(NamedTuple):
    """What an answer is made of: an output at the last step, and what is made of it.

    It is made for all rows of a batch at once, `[batch, ...]`, where the batch is stepped.
    """

    output: str
    make: Callable[[NDArray[np.float32]], NDArray[Any]]


class Read:
    """Reads a sequence to its end; keeps what is wanted of it, and with `keep` every step.

    `attention` is the output that says what part each step had in the answer, where that is asked
    for: the last call gives it of all steps.
    """

    goes_on: ClassVar[bool] = False

    def __init__(
        self,
        per_step: frozenset[str],
        *,
        wanted: Wanted | None = None,
        keep: bool = False,
        attention: str | None = None,
    ) -> None:
        self._per_step = per_step
        self._wanted = wanted
        self._attention = attention
        self._kept: dict[str, list[NDArray[np.float32]]] | None = {} if keep else None

    @property
    def every_chunk(self) -> bool:
        return self._kept is not None

    @classmethod
    def accept(cls, rows: Rows[tuple[Self, RowOutput]]) -> list[Advance]:
        return [continuation._accept(row) for continuation, row in rows]

    def _accept(self, row: RowOutput) -> Advance:
        if error := not_finite(row):
            return Advance(error=error)
        if self.every_chunk:
            self._keep(row.outputs)
        return Advance(item=self._finish(row), done=True) if row.exhausted else Advance()

    def _keep(self, outputs: dict[str, NDArray[np.float32]]) -> None:
        if self._kept is not None:
            for name, array in outputs.items():
                self._kept.setdefault(name, []).append(array.copy())

    def _finish(self, row: RowOutput) -> Finished:
        answer, outputs = self._answer(row), self._whole_outputs()
        return Finished(row, answer, outputs, attention=self._weights(row))

    def _answer(self, row: RowOutput) -> NDArray[Any] | None:
        if self._wanted is None:
            return None
        return row.batch.made_of_last(*self._wanted)[row.place].copy()

    def _weights(self, row: RowOutput) -> NDArray[np.float32] | None:
        return None if self._attention is None else row.output(self._attention).copy()

    def _whole_outputs(self) -> dict[str, NDArray[np.float32]] | None:
        if self._kept is None:
            return None
        return {
            name: np.concatenate(parts) if name in self._per_step else parts[-1]
            for name, parts in self._kept.items()
        }


class Score(Read):
    """Reads tokens and says how likely the model found each `targets[i]` at step i."""

    def __init__(
        self,
        per_step: frozenset[str],
        *,
        logits: str,
        targets: NDArray[np.int64],
        keep: bool = False,
    ) -> None:
        super().__init__(per_step, keep=keep)
        self._logits = logits
        self._targets = targets
        self._scored = 0
        self._scores: list[NDArray[np.float64]] = []

    @property
    def every_chunk(self) -> bool:
        return True

    def _keep(self, outputs: dict[str, NDArray[np.float32]]) -> None:
        super()._keep(outputs)
        logits = outputs[self._logits]  # [steps, vocab]
        steps = len(logits)
        targets = self._targets[self._scored : self._scored + steps]
        self._scores.append(log_softmax(logits)[np.arange(steps), targets])
        self._scored += steps

    def _finish(self, row: RowOutput) -> Finished:
        scores = np.concatenate(self._scores)
        return Finished(row, None, self._whole_outputs(), scores)


def finite_state(row: RowOutput) -> State:
    """A copy of the row's state that may be kept. Raises StateNotFinite."""
    if not row.state_finite:
        raise _state_not_finite()
    return own(row.state)


def not_finite(row: RowOutput) -> RecurError | None:
    """What to tell a row whose numbers left the finite: it fails, its neighbours do not."""
    if row.finite:
        return None
    if not row.state_finite:
        return _state_not_finite()
    return InvalidInput("the model's output is not finite for this input", param="inputs")


def _state_not_finite() -> StateNotFinite:
    return StateNotFinite(
        "the step would leave NaN or infinity in the state; the inputs are too large",
        param="inputs",
    )
