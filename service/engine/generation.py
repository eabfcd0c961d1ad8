"""Generation: steps whose next input is the token just sampled, until there is a reason to stop."""

from collections.abc import Iterable
from collections.abc import Sequence as Rows
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from service.artifact.scores import log_softmax
from service.artifact.text import Text, TextStream
from service.engine.continuations import finite_state, not_finite
from service.engine.row_output import RowOutput
from service.engine.sampling import Draw, SamplingParams, likeliest, sample
from service.engine.sequence import Advance
from service.runtime.base import State
from service.runtime.state import is_finite


@dataclass(frozen=True, slots=True)
class SampledToken:
    """A token and what the model thought of it: natural logarithms, before any sampling rule."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...]


class GeneratedText(NamedTuple):
    """Text that became certain. `tokens` only where log probabilities were asked for."""

    text: str
    num_tokens: int
    """Tokens sampled since the last item."""
    tokens: tuple[SampledToken, ...] = ()


@dataclass(frozen=True, slots=True)
class GenerationFinished:
    """The last item."""

    piece: GeneratedText
    reason: str
    num_tokens: int
    """Tokens sampled in all, those of a stop string included."""
    last_token: int
    """Sampled but not yet fed to the network: the next input."""
    end: RowOutput
    """What the last call gave."""

    @property
    def state(self) -> State:
        """A copy of its own, after every token but the last. Raises StateNotFinite."""
        return finite_state(self.end)


@dataclass(frozen=True, slots=True)
class GenerationParams:
    sampling: SamplingParams
    max_tokens: int
    logits: str
    """The output to sample from, `[steps, vocab]`."""
    end_token: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    """How many alternatives to report with each token; None reports no probabilities."""


class StopText:
    """Lets text through up to a stop string, holding back whatever could begin one."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = stop
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        """The part of all text so far that is now certain to be before any stop string."""
        self._held += text
        found = [(at + len(stop), at) for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if found:
            self.found = True
            # The one that is whole first: the cut must not depend on where the pieces begin.
            _, at = min(found)
            text, self._held = self._held[:at], ""
            return text
        keep = max((self._overlap(stop) for stop in self._stop), default=0)
        cut = len(self._held) - keep
        text, self._held = self._held[:cut], self._held[cut:]
        return text

    def flush(self) -> str:
        text, self._held = self._held, ""
        return text

    def _overlap(self, stop: str) -> int:
        """Length of the longest end of the held text that begins `stop`."""
        longest = min(len(stop) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)


class Generate:
    """The continuation of one choice. Its sequence's inputs end in the token to go on from."""

    goes_on: ClassVar[bool] = True

    def __init__(
        self, params: GenerationParams, text: Text, *, prompt: Iterable[int], stream: bool
    ) -> None:
        self._params = params
        self._decode = TextStream(text)
        self._stop = StopText(params.stop) if params.stop else None
        self._stream = stream
        self._num_tokens = 0
        self._reported = 0
        self._pending = ""
        self._sampled: list[SampledToken] = []
        self._seen: NDArray[np.bool_] | None = None
        if params.sampling.repetition_penalty != 1.0:
            self._seen = np.zeros(text.num_tokens, np.bool_)
            self._seen[list(prompt)] = True
        self._is_greedy = params.sampling.temperature == 0 and self._seen is None

    @property
    def every_chunk(self) -> bool:
        return False

    @classmethod
    def accept(cls, rows: Rows[tuple[Self, RowOutput]]) -> list[Advance]:
        """Sample all rows that have consumed their inputs together."""
        batch = rows[0][1].batch
        places = np.array([row.place for _, row in rows])
        outputs = batch.given.outputs[rows[0][0]._params.logits]  # [batch, time, vocab]
        logits = outputs[places, batch.lengths[places] - 1]  # [rows, vocab]
        if is_finite((logits,)):
            return cls._sample(rows, logits)
        advances = [Advance(error=not_finite(row)) for _, row in rows]
        sane = [place for place, advance in enumerate(advances) if advance.error is None]
        if sane:
            sampled = cls._sample([rows[place] for place in sane], logits[sane])
            for place, advance in zip(sane, sampled, strict=True):
                advances[place] = advance
        return advances

    @classmethod
    def _sample(
        cls, rows: Rows[tuple[Self, RowOutput]], logits: NDArray[np.float32]
    ) -> list[Advance]:
        """`logits [rows, vocab]`, finite."""
        choosers = [chooser for chooser, _ in rows]
        if all(chooser._is_greedy for chooser in choosers):
            tokens = likeliest(logits)
        else:
            tokens = sample(logits, [chooser._draw() for chooser in choosers])
        advances: list[Advance] = []
        for place, ((chooser, row), token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
            reason = chooser._take(token, logits[place])
            if reason is None:
                advances.append(chooser._go_on(tokens[place : place + 1]))
            else:
                advances.append(chooser._finish(reason, token, row))
        return advances

    def _draw(self) -> Draw:
        return Draw(self._params.sampling, self._num_tokens, self._seen)

    def _take(self, token: int, logits: NDArray[np.float32]) -> str | None:
        """Take in the token; why it was the last one, or None."""
        params = self._params
        self._num_tokens += 1
        if self._seen is not None:
            self._seen[token] = True
        if params.logprobs is not None:
            self._sampled.append(_describe(token, logits, params.logprobs))
        if token == params.end_token:
            return "stop"
        text = self._decode.push(token)
        if self._stop is not None:
            text = self._stop.push(text)
        self._pending += text
        if self._stop is not None and self._stop.found:
            return "stop"
        return "length" if self._num_tokens >= params.max_tokens else None

    def _go_on(self, token: NDArray[np.int64]) -> Advance:
        """A token whose text is held back says nothing: it counts with the text it leads to."""
        tells = self._stream and (self._pending or self._sampled)
        return Advance(item=self._piece() if tells else None, next_inputs=token)

    def _finish(self, reason: str, token: int, row: RowOutput) -> Advance:
        stop = self._stop
        if stop is None:
            self._pending += self._decode.flush()
        elif not stop.found:
            self._pending += stop.push(self._decode.flush())
            if stop.found:
                reason = "stop"
            else:
                self._pending += stop.flush()
        finished = GenerationFinished(
            piece=self._piece(),
            reason=reason,
            num_tokens=self._num_tokens,
            last_token=token,
            end=row,
        )
        return Advance(item=finished, done=True)

    def _piece(self) -> GeneratedText:
        text, self._pending = self._pending, ""
        new, self._reported = self._num_tokens - self._reported, self._num_tokens
        tokens, self._sampled = tuple(self._sampled), []
        return GeneratedText(text, new, tokens)


def choice_seed(seed: int, index: int) -> int:
    """The seed of choice `index` of a request: choice 0 has the request's own."""
    return (seed + index * 0xD1B54A32D192ED03) & ((1 << 64) - 1)


def for_choice(params: GenerationParams, index: int) -> GenerationParams:
    sampling = replace(params.sampling, seed=choice_seed(params.sampling.seed, index))
    return replace(params, sampling=sampling)


def _describe(token: int, logits: NDArray[np.float32], num_top: int) -> SampledToken:
    scores = log_softmax(logits)
    top = np.argsort(-scores, kind="stable")[:num_top]
    return SampledToken(
        token_id=token,
        logprob=float(scores[token]),
        top=tuple((int(index), float(scores[index])) for index in top),
    )
