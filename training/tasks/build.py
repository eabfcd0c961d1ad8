"""The task and the network that a kind of data asks for."""

from torch import Tensor

from service.artifact.scaling import Scaling
from training.config import RunConfig
from training.data.anomalies import AnomalyData
from training.data.build import AnyData
from training.data.language import LanguageData
from training.data.many_series import ManySeries
from training.data.pairs import TextPairs
from training.data.questions import LabelledTexts
from training.data.signals import LabelledSignals, MeasuredSignals
from training.data.speech import SpokenStrings, SpokenWords
from training.data.tagging import TaggedSentences
from training.data.timeseries import SeriesData
from training.data.tokens import UNKNOWN_ID, spelling
from training.nn.bands import BandForecaster
from training.nn.encoder_decoder import EncoderDecoder
from training.nn.features import Framing
from training.nn.models import Forecaster, LanguageModel, SequenceClassifier
from training.nn.signals import SignalNetwork
from training.nn.speech import Listener
from training.nn.tagger import Tagger
from training.tasks.classification import Classification
from training.tasks.ctc import Ctc
from training.tasks.forecasting import BandForecasting, Forecasting
from training.tasks.language_modeling import LanguageModeling
from training.tasks.seq2seq import Seq2Seq
from training.tasks.signals import SignalAnomaly, SignalClassification, SignalRegression
from training.tasks.tagging import Tagging

AnyTask = (
    LanguageModeling
    | Classification
    | Tagging
    | Forecasting
    | BandForecasting
    | Seq2Seq
    | SignalClassification
    | SignalRegression
    | SignalAnomaly
    | Ctc
)


def build(config: RunConfig, data: AnyData) -> AnyTask:
    """A task with an untrained network; the weights follow from torch's seed."""
    match data:
        case LanguageData():
            return LanguageModeling(LanguageModel(config.model, data.num_tokens), config)
        case LabelledTexts():
            network = SequenceClassifier(
                config.model,
                data.num_tokens,
                data.class_of_kind,
                unknown=UNKNOWN_ID,
                spelling=_spelling(config, data),
            )
            return Classification(network, config, data.class_of_kind)
        case TaggedSentences():
            tagger = Tagger(
                config.model,
                data.num_tokens,
                num_tags=len(data.tags),
                num_intents=len(data.intents),
                unknown=UNKNOWN_ID,
                spelling=_spelling(config, data),
            )
            return Tagging(tagger, config)
        case SeriesData():
            return Forecasting(Forecaster(config.model, data.scaling, data.horizon), config)
        case ManySeries(horizon=horizon):
            return BandForecasting(BandForecaster(config.model, horizon), config)
        case LabelledSignals(signals=signals, labels=labels):
            plain = Scaling(mean=(0.0,) * len(labels), deviation=(1.0,) * len(labels))
            network = SignalNetwork(
                config.model, signals.scaling, plain, paces=data.paces, name="logits"
            )
            return SignalClassification(network, config)
        case MeasuredSignals(signals=signals, outputs=outputs):
            network = SignalNetwork(
                config.model, signals.scaling, outputs, paces=data.paces, name="value"
            )
            return SignalRegression(network, config)
        case AnomalyData(signals=signals):
            plain = Scaling(mean=(0.0,), deviation=(1.0,))
            network = SignalNetwork(
                config.model, signals.scaling, plain, paces=data.paces, name="score"
            )
            return SignalAnomaly(network, config)
        case SpokenWords(labels=labels):
            return SignalClassification(_listener(config, data, len(labels)), config)
        case SpokenStrings(labels=labels):
            return Ctc(_listener(config, data, 1 + len(labels)), config)
        case TextPairs():
            network = EncoderDecoder(
                config.model,
                num_source_tokens=data.source_tokenizer.get_vocab_size(),
                num_target_tokens=data.target_tokenizer.get_vocab_size(),
            )
            return Seq2Seq(network, config)


def _listener(config: RunConfig, data: SpokenWords | SpokenStrings, num_outputs: int) -> Listener:
    """Its features are normalised by what training hears."""
    framing = Framing(data.sound.sample_rate, data.sound.hop)
    network = Listener(config.model, framing, num_outputs=num_outputs)
    network.features.normalise_by(data.split.learned.rows)
    return network


def _spelling(config: RunConfig, data: LabelledTexts | TaggedSentences) -> Tensor | None:
    return spelling(data.tokenizer) if config.model.spelling else None
