"""What the service must know of a model, read off its data and its graph."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from service.artifact.artifact import ProbeData, SourceProbe
from service.artifact.tasks import (
    AnomalyOutput,
    AudioInput,
    ClassificationOutput,
    CtcOutput,
    ForecastingOutput,
    Input,
    LanguageModelingOutput,
    NumericInput,
    Output,
    RegressionOutput,
    SamplingDefaults,
    SearchDefaults,
    Seq2SeqOutput,
    TaggingOutput,
    TextInput,
)
from training.config import RunConfig
from training.data.anomalies import ODD_ABOVE, AnomalyData
from training.data.batches import pad
from training.data.build import AnyData
from training.data.language import LanguageData
from training.data.many_series import ManySeries
from training.data.pairs import Row, TextPairs
from training.data.questions import LabelledTexts
from training.data.signals import LabelledSignals, MeasuredSignals, Signals
from training.data.speech import Sound, SpokenStrings, SpokenWords
from training.data.tagging import TaggedSentences
from training.data.timeseries import SeriesData
from training.data.tokens import END_ID, START_ID, start_token
from training.export.attention import ATTENTION
from training.runner import AnyRunner, Array, PairRunner, Runner

_PROBE_STEPS = (24, 17, 9, 1)
"""Lengths of the probe's rows, where items have none of their own."""
_PROBE_TEXTS = 4
_PROBE_TARGET_STEPS = (6, 3)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What goes in and what comes out, in the manifest's words."""

    input: Input
    output: Output
    files: Mapping[str, bytes]
    """Tokenizers, by the names that input and output give them."""


def meaning(data: AnyData, config: RunConfig) -> Meaning:
    match data:
        case LanguageData():
            output = LanguageModelingOutput(
                start_token=start_token(data.tokenizer),
                sampling=SamplingDefaults(temperature=0.8),
            )
            reads = TextInput(num_tokens=data.num_tokens)
            return Meaning(reads, output, {reads.tokenizer: _dumped(data.tokenizer)})
        case LabelledTexts():
            classes = ClassificationOutput(labels=data.labels, attention=ATTENTION)
            reads = TextInput(num_tokens=data.num_tokens)
            return Meaning(reads, classes, {reads.tokenizer: _dumped(data.tokenizer)})
        case TaggedSentences():
            reads = TextInput(num_tokens=data.num_tokens)
            pools = config.model.bidirectional and data.intents
            attention = ATTENTION if pools else None
            tags = TaggingOutput(tags=data.tags, intents=data.intents, attention=attention)
            return Meaning(reads, tags, {reads.tokenizer: _dumped(data.tokenizer)})
        case SeriesData():
            table = data.table
            forecast = ForecastingOutput(
                horizon=data.horizon,
                targets=table.features,
                units=table.units,
                step_seconds=table.step_seconds,
            )
            numbers = NumericInput(features=table.features, units=table.units, scaling=data.scaling)
            return Meaning(numbers, forecast, {})
        case ManySeries(feature=feature):
            bands = ForecastingOutput(
                horizon=data.horizon,
                targets=(feature,),
                step_seconds=data.step_seconds,
                quantiles=config.model.quantiles,
            )
            return Meaning(NumericInput(features=(feature,)), bands, {})
        case TextPairs():
            reads = TextInput(num_tokens=data.source_tokenizer.get_vocab_size())
            writes = Seq2SeqOutput(
                attention=None if config.model.attention is None else ATTENTION,
                num_tokens=data.target_tokenizer.get_vocab_size(),
                start_token=START_ID,
                end_token=END_ID,
                source_end_token=END_ID,
                search=SearchDefaults(**asdict(config.search)),
            )
            files = {
                reads.tokenizer: _dumped(data.source_tokenizer),
                writes.tokenizer: _dumped(data.target_tokenizer),
            }
            return Meaning(reads, writes, files)
        case LabelledSignals(signals=signals, labels=labels):
            return Meaning(_numbers(signals), ClassificationOutput(labels=labels), {})
        case AnomalyData(signals=signals):
            return Meaning(_numbers(signals), AnomalyOutput(threshold=ODD_ABOVE), {})
        case MeasuredSignals(signals=signals, name=name, unit=unit):
            value = RegressionOutput(name=name, unit=unit, every_step=config.data.every_step)
            return Meaning(_numbers(signals), value, {})
        case SpokenWords(sound=sound, labels=labels):
            return Meaning(_audio(sound), ClassificationOutput(labels=labels), {})
        case SpokenStrings(sound=sound, labels=labels):
            writes = CtcOutput(labels=labels, step_seconds=sound.hop / sound.sample_rate)
            return Meaning(_audio(sound), writes, {})


def _numbers(signals: Signals) -> NumericInput:
    return NumericInput(features=signals.features, units=signals.units, scaling=signals.scaling)


def _audio(sound: Sound) -> AudioInput:
    return AudioInput(sample_rate=sound.sample_rate, hop=sound.hop)


def probe(data: AnyData, runner: AnyRunner) -> ProbeData:
    """A ragged batch of test data from where rows begin, and what the graph makes of it."""
    match data, runner:
        case TextPairs(), PairRunner():
            return _pair_probe(data, runner)
        case _, Runner():
            inputs, lengths = _probe_rows(data)
            ran = runner.run(inputs, lengths)
            return ProbeData(inputs, lengths, ran.named(runner.spec), ran.state)
        case _:
            raise TypeError("pairs of texts, and nothing else, take two graphs")


def _pair_probe(data: TextPairs, runner: PairRunner) -> ProbeData:
    """Few and short targets: every step has as many numbers as there are tokens."""
    rows = [Row(item, 0) for item in range(len(_PROBE_TARGET_STEPS))]
    targets = [
        data.tested.target(row)[:steps]
        for row, steps in zip(rows, _PROBE_TARGET_STEPS, strict=True)
    ]
    batch = data.tested.batch(rows)
    assert batch.lengths is not None
    source = SourceProbe(batch.inputs.numpy(), batch.lengths.numpy().astype(np.int32))
    inputs, lengths = pad(targets).numpy(), np.array([len(row) for row in targets], np.int32)
    memory = runner.encode(source.inputs, source.lengths)
    decoded = runner.decode(inputs, memory, lengths=lengths)
    return ProbeData(inputs, lengths, decoded.named(runner.writes), decoded.state, source)


def _dumped(tokenizer: Tokenizer) -> bytes:
    return tokenizer.to_str(pretty=True).encode()


def _probe_rows(data: AnyData) -> tuple[Array, NDArray[np.int32]]:
    match data:
        case LanguageData():
            rows = [data.tested[100 * i : 100 * i + n] for i, n in enumerate(_PROBE_STEPS)]
        case LabelledTexts() | TaggedSentences():
            rows = data.tested.ids[:_PROBE_TEXTS]
        case SeriesData():
            series = data.test().inputs[0]
            rows = [series[10 * i : 10 * i + n] for i, n in enumerate(_PROBE_STEPS)]
        case ManySeries(series=series):
            values = [torch.as_tensor(one.values, dtype=torch.float32) for one in series]
            pairs = zip(values, _PROBE_STEPS, strict=False)
            rows = [steps[:n].unsqueeze(-1) for steps, n in pairs]
        case AnomalyData(tested=tested):
            whole = [one.rows for one in tested[: len(_PROBE_STEPS)]]
            rows = [steps[:n] for steps, n in zip(whole, _PROBE_STEPS, strict=True)]
        case (
            LabelledSignals(split=split)
            | MeasuredSignals(split=split)
            | SpokenWords(split=split)
            | SpokenStrings(split=split)
        ):
            whole = split.tested.rows[: len(_PROBE_STEPS)]
            rows = [steps[:n] for steps, n in zip(whole, _PROBE_STEPS, strict=True)]
        case TextPairs():
            rows = [told[0] for told in data.tested.targets[:_PROBE_TEXTS]]
    return pad(rows).numpy(), np.array([len(row) for row in rows], np.int32)
