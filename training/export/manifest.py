"""What the service must know of a model, read off its data and its graph."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.artifact.artifact import ProbeData
from service.artifact.manifest import (
    AnomalyOutput,
    ClassificationOutput,
    ForecastingOutput,
    Input,
    LanguageModelingOutput,
    NumericInput,
    Output,
    RegressionOutput,
    SamplingDefaults,
    TaggingOutput,
    TextInput,
)
from training.data.anomalies import ODD_ABOVE, AnomalyData
from training.data.batches import pad
from training.data.build import AnyData
from training.data.language import LanguageData
from training.data.questions import LabelledTexts
from training.data.signals import LabelledSignals, MeasuredSignals, Signals
from training.data.tagging import TaggedSentences
from training.data.timeseries import SeriesData
from training.data.tokens import start_token
from training.runner import Array, Runner

_PROBE_STEPS = (24, 17, 9, 1)
"""Lengths of the probe's rows, where items have none of their own."""
_PROBE_TEXTS = 4


@dataclass(frozen=True, slots=True)
class Meaning:
    """What goes in and what comes out, in the manifest's words."""

    input: Input
    output: Output
    tokenizer: bytes | None
    """`tokenizer.json`"""


def meaning(data: AnyData) -> Meaning:
    match data:
        case LanguageData():
            output = LanguageModelingOutput(
                start_token=start_token(data.tokenizer),
                sampling=SamplingDefaults(temperature=0.8),
            )
            tokenizer = data.tokenizer.to_str(pretty=True).encode()
            return Meaning(TextInput(num_tokens=data.num_tokens), output, tokenizer)
        case LabelledTexts():
            tokenizer = data.tokenizer.to_str(pretty=True).encode()
            classes = ClassificationOutput(labels=data.labels)
            return Meaning(TextInput(num_tokens=data.num_tokens), classes, tokenizer)
        case TaggedSentences():
            tokenizer = data.tokenizer.to_str(pretty=True).encode()
            tags = TaggingOutput(tags=data.tags, intents=data.intents)
            return Meaning(TextInput(num_tokens=data.num_tokens), tags, tokenizer)
        case SeriesData():
            table = data.table
            forecast = ForecastingOutput(
                horizon=data.horizon,
                targets=table.features,
                units=table.units,
                step_seconds=table.step_seconds,
            )
            numbers = NumericInput(features=table.features, units=table.units, scaling=data.scaling)
            return Meaning(numbers, forecast, None)
        case LabelledSignals(signals=signals, labels=labels):
            return Meaning(_numbers(signals), ClassificationOutput(labels=labels), None)
        case AnomalyData(signals=signals):
            return Meaning(_numbers(signals), AnomalyOutput(threshold=ODD_ABOVE), None)
        case MeasuredSignals(signals=signals, name=name, unit=unit):
            return Meaning(_numbers(signals), RegressionOutput(name=name, unit=unit), None)


def _numbers(signals: Signals) -> NumericInput:
    return NumericInput(features=signals.features, units=signals.units, scaling=signals.scaling)


def probe(data: AnyData, runner: Runner) -> ProbeData:
    """A ragged batch of test data from the zero state, and what the graph makes of it."""
    inputs, lengths = _probe_rows(data)
    ran = runner.run(inputs, lengths)
    outputs = {runner.spec.outputs[0].name: ran.outputs}
    return ProbeData(inputs, lengths, outputs, ran.state)


def _probe_rows(data: AnyData) -> tuple[Array, NDArray[np.int32]]:
    match data:
        case LanguageData():
            rows = [data.tested[100 * i : 100 * i + n] for i, n in enumerate(_PROBE_STEPS)]
        case LabelledTexts() | TaggedSentences():
            rows = data.tested.ids[:_PROBE_TEXTS]
        case SeriesData():
            series = data.test().inputs[0]
            rows = [series[10 * i : 10 * i + n] for i, n in enumerate(_PROBE_STEPS)]
        case AnomalyData(tested=tested):
            whole = [one.rows for one in tested[: len(_PROBE_STEPS)]]
            rows = [steps[:n] for steps, n in zip(whole, _PROBE_STEPS, strict=True)]
        case LabelledSignals(split=split) | MeasuredSignals(split=split):
            whole = split.tested.rows[: len(_PROBE_STEPS)]
            rows = [steps[:n] for steps, n in zip(whole, _PROBE_STEPS, strict=True)]
    return pad(rows).numpy(), np.array([len(row) for row in rows], np.int32)
