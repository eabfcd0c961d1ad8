"""A data set by its name."""

from collections.abc import Callable, Mapping

from training.config import DataConfig
from training.data.anomalies import AnomalyData, skab
from training.data.dialogue import camrest676
from training.data.faults import cmapss, cwru
from training.data.finance import acl18
from training.data.fsdd import digit_strings, digits_of_a_stranger, spoken_digits
from training.data.handwriting import mnist_rows, pendigits
from training.data.language import LanguageData, penn_treebank, tiny_shakespeare, war_and_peace
from training.data.mail import aeslc
from training.data.many_series import ManySeries, exchange_rates, m4_hourly
from training.data.meanings import e2e
from training.data.motion import natops, utkinect
from training.data.pairs import TextPairs
from training.data.questions import LabelledTexts, trec
from training.data.sentiment import sst2
from training.data.signals import LabelledSignals, MeasuredSignals
from training.data.speech import SpokenStrings, SpokenWords
from training.data.stories import babi
from training.data.synthetic import (
    generated_oddities,
    generated_pairs,
    generated_questions,
    generated_rhythms,
    generated_series,
    generated_text,
    generated_tones,
    generated_tunes,
    generated_waves,
    generated_wear,
    generated_wishes,
)
from training.data.tagging import TaggedSentences, atis, ewt
from training.data.timeseries import SeriesData, etth1
from training.data.translation import multi30k

AnyData = (
    LanguageData
    | LabelledTexts
    | TaggedSentences
    | TextPairs
    | SeriesData
    | ManySeries
    | LabelledSignals
    | MeasuredSignals
    | AnomalyData
    | SpokenWords
    | SpokenStrings
)

_LOADERS: Mapping[str, Callable[[DataConfig, int], AnyData]] = {
    "tinyshakespeare": tiny_shakespeare,
    "war-and-peace": war_and_peace,
    "ptb": penn_treebank,
    "trec": trec,
    "sst2": sst2,
    "babi": babi,
    "ewt": ewt,
    "atis": atis,
    "etth1": etth1,
    "m4-hourly": m4_hourly,
    "exchange-rates": exchange_rates,
    "multi30k": multi30k,
    "camrest676": camrest676,
    "e2e": e2e,
    "aeslc": aeslc,
    "cmapss-fd001": cmapss,
    "cwru": cwru,
    "skab": skab,
    "acl18": acl18,
    "pendigits": pendigits,
    "mnist-rows": mnist_rows,
    "utkinect": utkinect,
    "natops": natops,
    "fsdd": spoken_digits,
    "fsdd-stranger": digits_of_a_stranger,
    "fsdd-strings": digit_strings,
    "generated-text": generated_text,
    "generated-questions": generated_questions,
    "generated-series": generated_series,
    "generated-rhythms": generated_rhythms,
    "generated-oddities": generated_oddities,
    "generated-waves": generated_waves,
    "generated-tones": generated_tones,
    "generated-tunes": generated_tunes,
    "generated-wear": generated_wear,
    "generated-wishes": generated_wishes,
    "generated-pairs": generated_pairs,
}


def build(config: DataConfig, seed: int) -> AnyData:
    """Load the data that `config` names; raises DataError where it cannot be had."""
    return _LOADERS[config.dataset](config, seed)
