"""What each encoder-decoder must write: a beam over its graphs in this process, for one source."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from service.artifact.artifact import load_artifact
from service.artifact.beam import Beam, BeamParams, Ended
from service.artifact.scores import likeliest_tokens
from service.artifact.tasks import Seq2SeqOutput, TextInput
from service.registry.disk import scan
from tests.load.reference import NEAR, WrongAnswer
from training.runner import Memory, PairRunner, open_runner

_SUMMED = 16
"""Source steps that the service pads to a multiple of: then sums have the same bits."""


@dataclass(frozen=True, slots=True)
class Asked:
    """As it stands in a request."""

    beam_width: int
    length_penalty: float
    max_tokens: int


class Translator:
    """One encoder-decoder of the folder, its newest version."""

    def __init__(self, models: Path, name: str) -> None:
        self.name = name
        artifact = load_artifact(models / name / str(scan(models)[name][-1]))
        output, reads = artifact.manifest.output, artifact.manifest.input
        assert isinstance(output, Seq2SeqOutput)
        assert isinstance(reads, TextInput)
        assert artifact.target_text is not None
        runner = open_runner(artifact)
        assert isinstance(runner, PairRunner)
        self._output, self._runner, self._text = output, runner, artifact.target_text
        self._num_tokens = reads.num_tokens

    def source(self, steps: int, rng: np.random.Generator) -> list[int]:
        return rng.integers(0, self._num_tokens, steps).tolist()

    def check(self, source: Sequence[int], asked: Asked, prediction: Any) -> None:
        """Raises WrongAnswer."""
        best = self._search(source, asked)[0]
        text = self._text.decode(best.hypothesis.tokens)
        off = abs(prediction["score"] - best.score) / max(1.0, abs(best.score))
        if prediction["text"] != text or not off <= NEAR:
            raise WrongAnswer(f"{self.name}: {prediction} instead of {text!r}, {best.score}")

    def check_choices(self, source: Sequence[int], asked: Asked, texts: Sequence[str]) -> None:
        """The best of a search, in order; or of a beam of one, what was written token by token."""
        found = self._search(source, asked)[: len(texts)]
        expected = [self._text.decode(one.hypothesis.tokens) for one in found]
        if list(texts) != expected:
            raise WrongAnswer(f"{self.name}: {texts} instead of {expected}")

    def _search(self, source: Sequence[int], asked: Asked) -> list[Ended]:
        output = self._output
        params = BeamParams(
            output.end_token,
            width=asked.beam_width,
            length_penalty=asked.length_penalty,
            max_tokens=asked.max_tokens,
        )
        beam, looked = Beam(params), self._read([*source, output.source_end_token])
        tokens = [output.start_token]
        while not beam.done:
            decoded = self._runner.decode(np.array(tokens)[:, None], looked)
            told = likeliest_tokens(decoded.outputs[:, -1], params.num_candidates)
            places = beam.advance(told)
            tokens = [hypothesis.tokens[-1] for hypothesis in beam.live]
            state = tuple(part[:, places] for part in decoded.state)
            looked = Memory(
                looked.values[[0] * len(places)], looked.lengths[[0] * len(places)], state
            )
        return beam.ranked

    def _read(self, source: Sequence[int]) -> Memory:
        lengths = np.array([len(source)], np.int32)
        read = self._runner.encode(np.array([source], np.int64), lengths)
        padding = -len(source) % _SUMMED
        return Memory(np.pad(read.values, ((0, 0), (0, padding), (0, 0))), lengths, read.state)
