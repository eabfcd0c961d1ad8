"""The task and the network that a kind of data asks for."""

from training.config import RunConfig
from training.data.build import AnyData
from training.data.language import LanguageData
from training.data.questions import LabelledTexts
from training.data.timeseries import SeriesData
from training.data.tokens import UNKNOWN_ID
from training.nn.models import Forecaster, LanguageModel, SequenceClassifier
from training.tasks.classification import Classification
from training.tasks.forecasting import Forecasting
from training.tasks.language_modeling import LanguageModeling

AnyTask = LanguageModeling | Classification | Forecasting


def build(config: RunConfig, data: AnyData) -> AnyTask:
    """A task with an untrained network; the weights follow from torch's seed."""
    match data:
        case LanguageData():
            return LanguageModeling(LanguageModel(config.model, data.num_tokens), config)
        case LabelledTexts():
            network = SequenceClassifier(
                config.model, data.num_tokens, data.class_of_kind, unknown=UNKNOWN_ID
            )
            return Classification(network, config, data.class_of_kind)
        case SeriesData():
            return Forecasting(Forecaster(config.model, data.scaling, data.horizon), config)
