"""What is written of each source: measured beside a trivial writer, and shown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from service.artifact.beam import BeamParams
from service.artifact.manifest import Metric
from training.config import RunConfig, SearchConfig
from training.data.pairs import TextPairs
from training.data.tokens import END_ID, START_ID
from training.evaluation.evaluation import Evaluation, Picture
from training.evaluation.overlap import NAMES, overlap
from training.evaluation.plots import Alignment, alignment_picture, lengths_picture
from training.evaluation.search import remember, search
from training.evaluation.trivial import trivial
from training.runner import PairRunner

_READABLE = range(10, 20)
"""Length of a test source that is drawn: long enough to tell, short enough to read."""
_SAMPLES, _DRAWN = 8, 2


@dataclass(frozen=True, slots=True)
class Writer:
    """A trained pair of graphs, with the tokenizers and the search that make texts of them."""

    data: TextPairs
    runner: PairRunner
    search: SearchConfig

    def write(self, sources: Sequence[Tensor]) -> list[str]:
        """The best text for each source `[source_time]`."""
        params = BeamParams(
            END_ID,
            width=self.search.beam_width,
            length_penalty=self.search.length_penalty,
            max_tokens=self.search.max_tokens,
        )
        found = search(sources, self.runner, params, start=START_ID)
        return [self.data.target_tokenizer.decode(list(one.hypothesis.tokens)) for one in found]

    def alignment(self, source: Tensor, text: str) -> Alignment:
        """Where each token of `text` looked in `source`."""
        target = self.data.target_tokenizer.encode(text, add_special_tokens=False)
        tokens = np.array([[START_ID, *target.ids]])
        attention = self.runner.decode(tokens, remember([source], self.runner)).attention
        assert attention is not None
        read = [self.data.source_tokenizer.id_to_token(token) or "" for token in source.tolist()]
        return Alignment(attention[0], source=read, target=[*target.tokens, "[END]"])


@dataclass(frozen=True, slots=True)
class _Shown:
    """Sources of the card, and what is written of them."""

    sources: Sequence[Tensor]
    texts: Sequence[str]
    sample: str
    note: str


def evaluate_pairs(
    data: TextPairs, runner: PairRunner, *, config: RunConfig, reference: str
) -> Evaluation:
    """Overlap with the targets of the test split, by beam and greedily."""
    items, floor = data.tested.items, trivial(data)
    writer = Writer(data, runner, config.search)
    greedy = Writer(data, runner, replace(config.search, beam_width=1))
    written = writer.write(data.tested.sources)
    told = (
        (f"beam of {config.search.beam_width}", written),
        ("greedy", greedy.write(data.tested.sources)),
    )
    metrics = tuple(
        Metric(
            name=f"{NAMES[data.measure]}, {how}",
            value=overlap(texts, items, data.measure),
            split=f"test, {len(items):,} sources",
            baseline=overlap(floor.texts, items, data.measure),
            baseline_name=floor.name,
            reference=reference,
        )
        for how, texts in told
    )
    shown = _made_up(writer, config.examples) if config.examples else _of_test(data, written)
    return Evaluation(
        metrics, _picture(writer, shown, written), sample=shown.sample, sample_note=shown.note
    )


def _made_up(writer: Writer, examples: Sequence[str]) -> _Shown:
    sources = [writer.data.source(text) for text in examples]
    texts = writer.write(sources)
    sample = "\n\n".join(f"{a}\n= {b}" for a, b in zip(examples, texts, strict=True))
    return _Shown(sources, texts, sample, "Made-up sources, and what is written of them:")


def _of_test(data: TextPairs, written: Sequence[str]) -> _Shown:
    tested = data.tested
    readable = [at for at, source in enumerate(tested.sources) if len(source) in _READABLE] or [0]
    sample = "\n\n".join(
        f"{item.source}\n= {text}\n~ {item.targets[0]}"
        for item, text in zip(tested.items[:_SAMPLES], written, strict=False)
    )
    return _Shown(
        [tested.sources[at] for at in readable],
        [written[at] for at in readable],
        sample,
        "Source, what is written, and what people wrote:",
    )


def _picture(writer: Writer, shown: _Shown, written: Sequence[str]) -> Picture:
    if len(writer.runner.writes.outputs) == 1:
        return _lengths(writer.data, written)
    drawn = zip(shown.sources[:_DRAWN], shown.texts, strict=False)
    return Picture(
        "alignment.png",
        "Where the decoder looked (columns, the source) as it wrote each piece (rows).",
        alignment_picture([writer.alignment(source, text) for source, text in drawn]),
    )


def _lengths(data: TextPairs, written: Sequence[str]) -> Picture:
    pairs = [
        (len(text.split()), len(item.targets[0].split()))
        for text, item in zip(written, data.tested.items, strict=True)
    ]
    return Picture(
        "lengths.png",
        "Words of each text that was written, and of the one that people wrote.",
        lengths_picture(pairs),
    )
