"""A graph is evaluated as its data asks, through ONNX Runtime: what is served is measured."""

from training.config import RunConfig
from training.data.anomalies import AnomalyData
from training.data.build import AnyData
from training.data.language import LanguageData
from training.data.many_series import ManySeries
from training.data.pairs import TextPairs
from training.data.questions import LabelledTexts
from training.data.signals import LabelledSignals, MeasuredSignals
from training.data.speech import SpokenStrings, SpokenWords
from training.data.stories import StoryQuestions
from training.data.tagging import TaggedSentences
from training.data.timeseries import SeriesData
from training.evaluation.anomalies import evaluate_anomalies
from training.evaluation.classification import evaluate_classification
from training.evaluation.evaluation import Evaluation
from training.evaluation.forecasting import evaluate_forecasting
from training.evaluation.language import evaluate_language
from training.evaluation.many_series import evaluate_many
from training.evaluation.pairs import evaluate_pairs
from training.evaluation.signals import evaluate_labelled, evaluate_measured
from training.evaluation.stories import evaluate_stories
from training.evaluation.strings import evaluate_strings
from training.evaluation.tagging import evaluate_tagging
from training.runner import AnyRunner, PairRunner, Runner


def evaluate(config: RunConfig, data: AnyData, runner: AnyRunner) -> Evaluation:
    """The test split's figures, beside a trivial predictor's and the published ones."""
    reference = "; ".join(f"{r.text} ({r.source})" for r in config.references)
    match data, runner:
        case TextPairs(), PairRunner():
            return evaluate_pairs(data, runner, config=config, reference=reference)
        case LanguageData(), Runner():
            return evaluate_language(data, runner, reference=reference)
        case StoryQuestions(), Runner():
            return evaluate_stories(data, runner, reference=reference)
        case LabelledTexts(), Runner():
            return evaluate_classification(data, runner, reference=reference)
        case TaggedSentences(), Runner():
            return evaluate_tagging(data, runner, reference=reference)
        case SeriesData(), Runner():
            return evaluate_forecasting(data, runner, reference=reference)
        case ManySeries(), Runner():
            bands = config.model.quantiles
            return evaluate_many(data, runner, quantiles=bands, reference=reference)
        case LabelledSignals() | SpokenWords(), Runner():
            return evaluate_labelled(data, runner, reference=reference)
        case MeasuredSignals(), Runner():
            return evaluate_measured(data, runner, reference=reference)
        case SpokenStrings(), Runner():
            return evaluate_strings(data, runner, reference=reference)
        case AnomalyData(), Runner():
            return evaluate_anomalies(data, runner, reference=reference)
        case _:
            raise TypeError("pairs of texts, and nothing else, take two graphs")
