"""Reads a sequence to its end and keeps one output at every step: answers may be about them all."""

import numpy as np
from numpy.typing import NDArray

from service.engine.continuations import Finished, Read
from service.engine.row_output import RowOutput


class ReadSeries(Read):
    """Its answer is `output` of all steps, `[time, ...]`, which the model gives at every one."""

    def __init__(
        self,
        per_step: frozenset[str],
        *,
        output: str,
        keep: bool = False,
        attention: str | None = None,
    ) -> None:
        super().__init__(per_step, keep=keep, attention=attention)
        self._output = output
        self._parts: list[NDArray[np.float32]] = []

    @property
    def every_chunk(self) -> bool:
        return True

    def _keep(self, outputs: dict[str, NDArray[np.float32]]) -> None:
        super()._keep(outputs)
        self._parts.append(outputs[self._output].copy())

    def _finish(self, row: RowOutput) -> Finished:
        answer = np.concatenate(self._parts)
        return Finished(row, answer, self._whole_outputs(), attention=self._weights(row))
