"""How much of what is written people wrote too: BLEU, and ROUGE-1 of very short texts."""

from collections.abc import Sequence

import numpy as np
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU

from training.data.pairs import Measure, Pair

NAMES: dict[Measure, str] = {"bleu": "BLEU", "rouge": "ROUGE-1"}


def overlap(texts: Sequence[str], items: Sequence[Pair], measure: Measure) -> float:
    """Of 100; one text for each item."""
    filled = [item.filled(text) for item, text in zip(items, texts, strict=True)]
    wanted = [[item.filled(target) for target in item.targets] for item in items]
    return bleu(filled, wanted) if measure == "bleu" else rouge(filled, wanted)


def bleu(texts: Sequence[str], targets: Sequence[Sequence[str]]) -> float:
    """Papineni et al. 2002, of words as the data has them; a source may have several targets."""
    most = max(map(len, targets))
    # A source with fewer targets repeats its first: a repeated reference changes nothing.
    references = [
        [(*told, *[told[0]] * (most - len(told)))[place] for told in targets]
        for place in range(most)
    ]
    metric = BLEU(tokenize="none", force=True)
    return float(metric.corpus_score(list(texts), references).score)


def rouge(texts: Sequence[str], targets: Sequence[Sequence[str]]) -> float:
    """Mean F1 of single words (Lin 2004), stemmed, against the target most like it."""
    scorer = RougeScorer(["rouge1"], use_stemmer=True)
    found = [
        scorer.score_multi(list(told), text)["rouge1"].fmeasure
        for text, told in zip(texts, targets, strict=True)
    ]
    return 100 * float(np.mean(found))
