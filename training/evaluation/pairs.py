"""How much of what is written people wrote too: BLEU, beside the nearest source's target."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU

from service.artifact.beam import BeamParams
from service.artifact.manifest import Metric
from training.config import SearchConfig
from training.data.pairs import TextPairs
from training.data.tokens import END_ID, START_ID
from training.evaluation.evaluation import Evaluation, Picture
from training.evaluation.plots import alignment_picture, lengths_picture
from training.evaluation.search import remember, search
from training.runner import PairRunner

_SHOWN_TOKENS = range(10, 20)
"""Length of the source that is drawn: long enough to tell, short enough to read."""
_SAMPLES = 8


def evaluate_pairs(
    data: TextPairs, runner: PairRunner, *, config: SearchConfig, reference: str
) -> Evaluation:
    """Corpus BLEU (Papineni et al. 2002) of the test split's own words, by beam and greedily."""
    split = f"test, {len(data.tested.items):,} sources"
    nearest = bleu(nearest_targets(data), data)
    written = write(data, runner, config)
    greedy = write(data, runner, SearchConfig(max_tokens=config.max_tokens))
    metrics = tuple(
        Metric(
            name=name,
            value=bleu(texts, data),
            split=split,
            baseline=nearest,
            baseline_name="target of the training source most like it",
            reference=reference,
        )
        for name, texts in (
            (f"BLEU, beam of {config.beam_width}", written),
            ("BLEU, greedy", greedy),
        )
    )
    return Evaluation(
        metrics,
        _picture(data, runner, written),
        sample=_samples(data, written),
        sample_note="Source, what is written, and what people wrote:",
    )


def write(data: TextPairs, runner: PairRunner, config: SearchConfig) -> list[str]:
    """The best text for each source of the test split."""
    params = BeamParams(
        END_ID,
        width=config.beam_width,
        length_penalty=config.length_penalty,
        max_tokens=config.max_tokens,
    )
    found = search(data.tested.sources, runner, params, start=START_ID)
    return [data.target_tokenizer.decode(list(one.hypothesis.tokens)) for one in found]


def bleu(texts: Sequence[str], data: TextPairs) -> float:
    """Of words as the data has them; every source may have several right targets."""
    most = max(len(item.targets) for item in data.tested.items)
    # A source with fewer targets repeats its first: a repeated reference changes nothing.
    references = [
        [(item.targets + item.targets[:1] * most)[place] for item in data.tested.items]
        for place in range(most)
    ]
    metric = BLEU(tokenize="none", force=True)
    return float(metric.corpus_score(list(texts), references).score)


def nearest_targets(data: TextPairs) -> list[str]:
    """What a translator without a network would say: the target of the source most like it.

    Alike is what shares rare tokens: the sum of log(N / n) over shared tokens, over the root of the
    other source's length.
    """
    rows: defaultdict[int, list[int]] = defaultdict(list)
    for row, source in enumerate(data.learned.sources):
        for token in set(source.tolist()):
            rows[token].append(row)
    holding = {token: np.array(held) for token, held in rows.items()}
    total = len(data.learned.sources)
    lengths = np.sqrt([len(source) for source in data.learned.sources])
    found: list[str] = []
    for source in data.tested.sources:
        alike = np.zeros(total)
        for token in set(source.tolist()) & holding.keys():
            alike[holding[token]] += np.log(total / len(holding[token]))
        found.append(data.learned.items[int(np.argmax(alike / lengths))].targets[0])
    return found


def alignment(data: TextPairs, runner: PairRunner, item: int, text: str) -> NDArray[np.float32]:
    """Where each token of `text` looked in the source of a test item, `[time, source_time]`."""
    memory = remember([data.tested.sources[item]], runner)
    tokens = [START_ID, *data.target_tokenizer.encode(text, add_special_tokens=False).ids]
    attention = runner.decode(np.array([tokens]), memory).attention
    assert attention is not None
    return attention[0]


def _picture(data: TextPairs, runner: PairRunner, texts: Sequence[str]) -> Picture:
    if len(runner.writes.outputs) == 1:
        pairs = [
            (len(a.split()), len(b.targets[0].split()))
            for a, b in zip(texts, data.tested.items, strict=True)
        ]
        return Picture(
            "lengths.png",
            "Words of each text that was written, and of the one that people wrote.",
            lengths_picture(pairs),
        )
    lengths = [len(source) for source in data.tested.sources]
    item = next((i for i, length in enumerate(lengths) if length in _SHOWN_TOKENS), 0)
    target = data.target_tokenizer.encode(texts[item], add_special_tokens=False).tokens
    source = [
        data.source_tokenizer.id_to_token(i) or "" for i in data.tested.sources[item].tolist()
    ]
    return Picture(
        "alignment.png",
        "Where the decoder looked (columns, the source) as it wrote each piece (rows).",
        alignment_picture(
            alignment(data, runner, item, texts[item]), source=source, target=[*target, "[END]"]
        ),
    )


def _samples(data: TextPairs, texts: Sequence[str]) -> str:
    shown = zip(data.tested.items[:_SAMPLES], texts, strict=False)
    return "\n\n".join(f"{item.source}\n= {text}\n~ {item.targets[0]}" for item, text in shown)
