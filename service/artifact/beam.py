"""Which texts live: the likeliest few are kept at every token, and the best that ended wins.

Pure: told what the network thinks of each next token, it says which rows go on and from where. The
search is that of Sutskever, Vinyals and Le 2014 (arXiv 1409.3215), the score that of Wu et al.
2016 (arXiv 1609.08144), eq. 14, without coverage.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Candidate(NamedTuple):
    """A next token of one hypothesis, and the natural logarithm of its probability."""

    token: int
    log_probability: float


class Hypothesis(NamedTuple):
    """A text so far, without what stands before its first token and after its last."""

    tokens: tuple[int, ...] = ()
    log_probability: float = 0.0
    """Of all its tokens, the end included where it has ended."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A text that is complete, or as long as is allowed."""

    hypothesis: Hypothesis
    score: float
    reason: str
    """`stop` where it ended itself, `length` where it was cut off."""


@dataclass(frozen=True, slots=True)
class BeamParams:
    end_token: int
    width: int = 1
    """One is greedy decoding."""
    length_penalty: float = 0.0
    """0 compares probabilities as they are, which favours short texts; 1 nearly their means."""
    max_tokens: int = 100

    @property
    def num_candidates(self) -> int:
        """Next tokens to tell of each hypothesis: one of them may be the end."""
        return self.width + 1

    def score(self, hypothesis: Hypothesis, *, num_tokens: int) -> float:
        """log P / ((5 + n) / 6) ** length_penalty, of `num_tokens` n, the end included."""
        penalty: float = ((5 + num_tokens) / 6) ** self.length_penalty
        return hypothesis.log_probability / penalty


@dataclass(slots=True)
class Beam:
    """The search for one text. Mutable: it moves on with `advance`."""

    params: BeamParams
    live: tuple[Hypothesis, ...] = (Hypothesis(),)
    """At first the empty one."""
    _ended: list[Ended] = field(default_factory=list["Ended"])
    _cut_off: list[Ended] = field(default_factory=list["Ended"])

    @property
    def done(self) -> bool:
        return not self.live

    @property
    def ranked(self) -> list[Ended]:
        """Best first; those that were cut off come after all that ended by themselves."""
        return [
            one
            for found in (self._ended, self._cut_off)
            for one in sorted(found, key=lambda one: -one.score)
        ]

    def advance(self, told: Sequence[Sequence[Candidate]]) -> tuple[int, ...]:
        """Take the likeliest candidates of every live hypothesis, `num_candidates` of each.

        Returns, for each hypothesis that lives now, the place of the one that it goes on from.
        """
        params = self.params
        grown = [
            (Hypothesis((*self.live[place].tokens, token), before + log_probability), place)
            for place, candidates in enumerate(told)
            for before in (self.live[place].log_probability,)
            for token, log_probability in candidates
        ]
        grown.sort(key=lambda one: -one[0].log_probability)  # stable: equals stay in order
        for hypothesis, _ in grown[: params.width]:
            if hypothesis.tokens[-1] == params.end_token:
                self._end(hypothesis)
        on = [one for one in grown if one[0].tokens[-1] != params.end_token][: params.width]
        if len(self._ended) >= params.width:
            on = []
        elif on and len(on[0][0].tokens) >= params.max_tokens:
            self._cut_off += [self._cut(hypothesis) for hypothesis, _ in on]
            on = []
        self.live = tuple(hypothesis for hypothesis, _ in on)
        return tuple(place for _, place in on)

    def _end(self, hypothesis: Hypothesis) -> None:
        score = self.params.score(hypothesis, num_tokens=len(hypothesis.tokens))
        text = Hypothesis(hypothesis.tokens[:-1], hypothesis.log_probability)
        self._ended.append(Ended(text, score, "stop"))

    def _cut(self, hypothesis: Hypothesis) -> Ended:
        score = self.params.score(hypothesis, num_tokens=len(hypothesis.tokens))
        return Ended(hypothesis, score, "length")
