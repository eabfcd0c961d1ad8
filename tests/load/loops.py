"""What a vanilla cell costs as ONNX's operator and as a loop: `python -m tests.load.loops`.

Beside them the other cells' graphs of the same size, each as it is published. Processor time of
one thread, all graphs in turn within every round; the median of the rounds.
"""

from functools import partial

import numpy as np
import torch

from service.artifact.manifest import GraphSpec
from tests.load.graphs import microseconds
from tests.load.report import conditions
from training.config import Cell
from training.export.draft import Draft
from training.export.graph import build_graph
from training.export.lengths import LENGTHS
from training.export.recurrent import state_specs
from training.nn.recurrent import RecurrentStack
from training.runner import Runner

_HIDDEN = (128, 256)
_SHAPES = ((1, 1), (1, 32), (16, 1), (16, 8), (16, 32))
"""(steps, rows)"""
_CELLS: tuple[Cell, ...] = ("rnn_tanh", "min_gru", "min_lstm", "gru_cho", "gru", "lstm")


def main() -> None:
    for name, value in (conditions() | {"command": "python -m tests.load.loops"}).items():
        print(f"- {name}: {value}")
    columns = ["RNN operator", *_CELLS]
    print(f"\n| hidden | steps | rows | {' | '.join(columns)} |")
    print("|--:" * (3 + len(columns)) + "|")
    for hidden in _HIDDEN:
        runners = _runners(hidden)
        for steps, rows in _SHAPES:
            inputs = np.random.default_rng(0).normal(size=(rows, steps, hidden))
            calls = {
                name: partial(runner.run, inputs.astype(np.float32))
                for name, runner in runners.items()
            }
            times = microseconds(calls)
            operator = times["RNN operator"]
            cells = [f"{times[name]:,.0f} ({operator / times[name]:.1f}x)" for name in columns[1:]]
            line = [str(hidden), str(steps), str(rows), f"{operator:,.0f}", *cells]
            print(f"| {' | '.join(line)} |")


def _runners(hidden: int) -> dict[str, Runner]:
    stacks = {cell: RecurrentStack(cell, hidden, hidden).eval() for cell in _CELLS}
    graphs = {cell: build_graph(stack) for cell, stack in stacks.items()}
    made = {
        cell: Runner(graph.model.SerializeToString(), graph.spec) for cell, graph in graphs.items()
    }
    operator = _operator(stacks["rnn_tanh"], graphs["rnn_tanh"].spec)
    _must_agree(operator, made["rnn_tanh"], hidden)
    return {"RNN operator": operator, **made}


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
    inputs = np.random.default_rng(0).normal(size=(3, 9, hidden)).astype(np.float32)
    lengths = np.array([9, 9, 9], np.int32)
    np.testing.assert_allclose(
        one.run(inputs, lengths).outputs, other.run(inputs, lengths).outputs, atol=1e-5
    )


if __name__ == "__main__":
    main()
