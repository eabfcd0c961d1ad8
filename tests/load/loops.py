"""What a vanilla cell costs as ONNX's operator and as a loop: `python -m tests.load.loops`.

Beside them the other cells' graphs of the same size, each as it is published: single steps by the
graph of single steps, where that keeps every bit. Processor time of
one thread, all graphs in turn within every round; the median of the rounds.
"""

from functools import partial

import numpy as np
import onnx
import torch

from service.artifact.graphs import GraphSpec
from tests.load.graphs import microseconds
from tests.load.report import conditions_now
from training.config import Cell
from training.export.draft import Draft
from training.export.graph import build_graph, with_step
from training.export.lengths import LENGTHS
from training.export.recurrent import state_specs
from training.export.verify_lowered import Lowered, keeps_every_bit, verify_step
from training.nn.recurrent import RecurrentStack
from training.runner import Array, Runner

_HIDDEN = (128, 256)
_SHAPES = ((1, 1), (1, 32), (16, 1), (16, 8), (16, 32))
"""(steps, rows)"""
_OPERATOR = "RNN operator"
_CELLS: tuple[Cell, ...] = (
    "rnn_tanh",
    "min_gru",
    "min_lstm",
    "gru_cho",
    "gru",
    "ln_gru",
    "lstm",
    "ln_lstm",
)


def main() -> None:
    for name, value in conditions_now("tests.load.loops").items():
        print(f"- {name}: {value}")
    columns = [_OPERATOR, *_CELLS]
    print(f"\n| hidden | steps | rows | {' | '.join(columns)} |")
    print("|--:" * (3 + len(columns)) + "|")
    for hidden in _HIDDEN:
        whole, stepped = _runners(hidden)
        for steps, rows in _SHAPES:
            runners = whole | stepped if steps == 1 else whole
            inputs = _draw(hidden, np.random.default_rng(0), (rows, steps))
            calls = {name: partial(runner.run, inputs) for name, runner in runners.items()}
            times = microseconds(calls)
            operator = times[_OPERATOR]
            cells = [f"{times[name]:,.0f} ({operator / times[name]:.1f}x)" for name in columns[1:]]
            line = [str(hidden), str(steps), str(rows), f"{operator:,.0f}", *cells]
            print(f"| {' | '.join(line)} |")


def _runners(hidden: int) -> tuple[dict[str, Runner], dict[str, Runner]]:
    """Of chunks, and of single steps."""
    whole, stepped = dict[str, Runner](), dict[str, Runner]()
    for cell in _CELLS:
        stack = RecurrentStack(cell, hidden, hidden).eval()
        graph = with_step(build_graph(stack))
        lowered = Lowered(graph.spec, _bytes(graph.model), graph.step and _bytes(graph.step))
        whole[cell] = Runner(lowered.whole, graph.spec)
        if lowered.step is not None and keeps_every_bit(
            verify_step(lowered, partial(_draw, hidden))
        ):
            stepped[cell] = Runner(lowered.step, graph.spec)
        if cell == "rnn_tanh":
            whole[_OPERATOR] = _operator(stack, graph.spec)
    _must_agree(whole[_OPERATOR], whole["rnn_tanh"], hidden)
    return whole, stepped


def _draw(hidden: int, draw: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return draw.normal(size=(*shape, hidden)).astype(np.float32)


def _bytes(model: onnx.ModelProto) -> bytes:
    return model.SerializeToString()


def _operator(stack: RecurrentStack, spec: GraphSpec) -> Runner:
    """The same weights in ONNX's own operator."""
    draft, weights = Draft(), stack.layer(0).weights(0)
    assert weights.recurrent is not None
    assert weights.input_bias is not None
    assert weights.recurrent_bias is not None
    biases = torch.cat([weights.input_bias, weights.recurrent_bias])
    constants = {"W": weights.input, "R": weights.recurrent, "B": biases}
    names = [draft.constant(k, v.detach().numpy()[None]) for k, v in constants.items()]
    by_time = draft.transpose("values", "by_time", (1, 0, 2))
    (state,) = state_specs(stack)
    inputs = [by_time, *names, LENGTHS, state.input]
    draft.add_many("RNN", inputs, ["sides", state.output], {"hidden_size": stack.hidden})
    draft.transpose(draft.add("Squeeze", ["sides", draft.integers(1)], "h"), "outputs", (1, 0, 2))
    return Runner(draft.finish(spec).SerializeToString(), spec)


def _must_agree(one: Runner, other: Runner, hidden: int) -> None:
    inputs = _draw(hidden, np.random.default_rng(0), (3, 9))
    np.testing.assert_allclose(one.run(inputs).outputs, other.run(inputs).outputs, atol=1e-5)


if __name__ == "__main__":
    main()
