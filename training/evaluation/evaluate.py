"""A graph is evaluated as its data asks, through ONNX Runtime: what is served is measured."""

from training.config import RunConfig
from training.data.anomalies import AnomalyData
from training.data.build import AnyData
from training.data.language import LanguageData
from training.data.questions import LabelledTexts
from training.data.signals import LabelledSignals, MeasuredSignals
from training.data.tagging import TaggedSentences
from training.data.timeseries import SeriesData
from training.evaluation.anomalies import evaluate_anomalies
from training.evaluation.classification import evaluate_classification
from training.evaluation.evaluation import Evaluation
from training.evaluation.forecasting import evaluate_forecasting
from training.evaluation.language import evaluate_language
from training.evaluation.signals import evaluate_labelled, evaluate_measured
from training.evaluation.tagging import evaluate_tagging
from training.runner import Runner


def evaluate(config: RunConfig, data: AnyData, runner: Runner) -> Evaluation:
    """The test split's figures, beside a trivial predictor's and the published ones."""
    reference = "; ".join(f"{r.text} ({r.source})" for r in config.references)
    match data:
        case LanguageData():
            return evaluate_language(data, runner, reference=reference)
        case LabelledTexts():
            return evaluate_classification(data, runner, reference=reference)
        case TaggedSentences():
            return evaluate_tagging(data, runner, reference=reference)
        case SeriesData():
            return evaluate_forecasting(data, runner, reference=reference)
        case LabelledSignals():
            return evaluate_labelled(data, runner, reference=reference)
        case MeasuredSignals():
            return evaluate_measured(data, runner, reference=reference)
        case AnomalyData():
            return evaluate_anomalies(data, runner, reference=reference)
