"""One recurrent layer in one direction or both, over rows whose padding it never sees."""

from dataclasses import dataclass
from math import sqrt
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from training.config import Cell
from training.nn.attention import valid_steps
from training.nn.cells import (
    NORMALISED,
    NUM_GATES,
    CellWeights,
    GateNorms,
    LstmState,
    gru_cho_after,
    ln_gru_after,
    ln_lstm_after,
    min_gru_decay,
    min_lstm_decay,
    normalised_input,
)
from training.nn.scan import scan

State = tuple[Tensor, ...]
"""`(h,)`, or `(h, c)` of an LSTM; each `[layers * directions, batch, hidden]`."""

_FUSED: frozenset[Cell] = frozenset({"rnn_tanh", "rnn_relu", "lstm", "gru"})
"""The cells that torch runs as one kernel over all steps."""


@dataclass(frozen=True, slots=True)
class Recurrence:
    outputs: Tensor
    """`[batch, time, features]`, zero past a row's length; of a layer, both directions' h side by
    side."""
    state: State
    """After each row's last valid step."""


class Layer(nn.Module):
    """What a stack needs of a layer; both kinds below are one."""

    def forward(self, inputs: Tensor, lengths: Tensor | None, state: State) -> Recurrence:
        """`inputs [batch, time, features]`, `lengths [batch]` on the CPU or None for full rows."""
        raise NotImplementedError

    def weights(self, direction: int) -> CellWeights:
        """0 is forward, 1 backward."""
        raise NotImplementedError


def make_layer(
    cell: Cell, num_features: int, hidden: int, *, bidirectional: bool, bias: bool
) -> Layer:
    kind = FusedLayer if cell in _FUSED else OwnLayer
    return kind(cell, num_features, hidden, bidirectional=bidirectional, bias=bias)


class FusedLayer(Layer):
    """RNN, LSTM or GRU by torch's own kernel."""

    def __init__(
        self, cell: Cell, num_features: int, hidden: int, *, bidirectional: bool, bias: bool
    ) -> None:
        super().__init__()
        self.fused = _fused(cell, num_features, hidden, bidirectional=bidirectional, bias=bias)

    def forward(self, inputs: Tensor, lengths: Tensor | None, state: State) -> Recurrence:
        with_memory = len(state) == 2
        given = state if with_memory else state[0]
        if lengths is None:
            outputs, final = self.fused(inputs, given)
        else:
            packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
            packed_outputs, final = self.fused(packed, given)
            outputs, _ = pad_packed_sequence(
                cast("PackedSequence", packed_outputs),
                batch_first=True,
                total_length=inputs.shape[1],
            )
        return Recurrence(outputs, tuple(final) if with_memory else (final,))

    def weights(self, direction: int) -> CellWeights:
        suffix = ("", "_reverse")[direction]
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if self.fused.bias else 2]
        return CellWeights(*(getattr(self.fused, f"{name}_l0{suffix}") for name in names))


def _fused(
    cell: Cell, num_features: int, hidden: int, *, bidirectional: bool, bias: bool
) -> nn.RNNBase:
    match cell:
        case "lstm":
            kind = nn.LSTM
        case "gru":
            kind = nn.GRU
        case _:
            kind = nn.RNN
    extra = {"nonlinearity": cell.removeprefix("rnn_")} if kind is nn.RNN else {}
    return kind(
        num_features, hidden, bidirectional=bidirectional, bias=bias, batch_first=True, **extra
    )


class OwnLayer(Layer):
    """The cells that torch has not: minimal ones, all steps at once; the others step by step,
    with what they need of the input alone computed for all steps ahead."""

    def __init__(
        self, cell: Cell, num_features: int, hidden: int, *, bidirectional: bool, bias: bool
    ) -> None:
        super().__init__()
        self.cell: Cell = cell
        self.sides = nn.ModuleList(
            _Side(cell, num_features, hidden, bias=bias) for _ in range(1 + bidirectional)
        )

    def forward(self, inputs: Tensor, lengths: Tensor | None, state: State) -> Recurrence:
        rows, steps = inputs.shape[:2]
        if lengths is None:
            lengths = torch.full((rows,), steps)
        lengths = lengths.to(inputs.device)
        padding = ~valid_steps(lengths, steps).unsqueeze(-1)  # [batch, time, 1]
        # Not only the outputs: a gradient through what is not a number would be none either.
        inputs = inputs.masked_fill(padding, 0.0)
        outputs, finals = list[Tensor](), list[State]()
        for direction, initial in enumerate(zip(*state, strict=True)):
            read = turned(inputs, lengths) if direction else inputs
            ran = _run(self.cell, read, initial, self.weights(direction))
            last = (lengths - 1).view(-1, 1, 1).expand(-1, 1, ran[0].shape[-1])
            finals.append(tuple(part.gather(1, last).squeeze(1) for part in ran))
            outputs.append(turned(ran[0], lengths) if direction else ran[0])
        both = torch.cat(outputs, dim=-1).masked_fill(padding, 0.0)
        return Recurrence(both, tuple(map(torch.stack, zip(*finals, strict=True))))

    def weights(self, direction: int) -> CellWeights:
        return cast("_Side", self.sides[direction]).weights()


class _Side(nn.Module):
    """One direction's parameters, drawn as torch draws those of its own layers; norms begin with
    gains of one and shifts of zero."""

    def __init__(self, cell: Cell, num_features: int, hidden: int, *, bias: bool) -> None:
        super().__init__()
        rows, bound, norms = NUM_GATES[cell] * hidden, 1 / sqrt(hidden), cell in NORMALISED

        def drawn(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))

        def gain(size: int) -> nn.Parameter:
            return nn.Parameter(torch.ones(size))

        def shift(size: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(size))

        self.input = drawn(rows, num_features)
        self.recurrent = drawn(rows, hidden) if cell == "gru_cho" or norms else None
        self.input_bias = None if not bias else shift(rows) if norms else drawn(rows)
        self.recurrent_bias = shift(rows) if bias and norms else None
        self.input_gain = gain(rows) if norms else None
        self.recurrent_gain = gain(rows) if norms else None
        self.memory_gain = gain(hidden) if cell == "ln_lstm" else None
        self.memory_bias = shift(hidden) if bias and cell == "ln_lstm" else None

    def weights(self) -> CellWeights:
        norms = None
        if self.input_gain is not None and self.recurrent_gain is not None:
            norms = GateNorms(
                self.input_gain, self.recurrent_gain, self.memory_gain, self.memory_bias
            )
        return CellWeights(self.input, self.recurrent, self.input_bias, self.recurrent_bias, norms)


def turned(rows: Tensor, lengths: Tensor) -> Tensor:
    """`[batch, time, features]` with each row's valid steps in reverse; padding stays."""
    steps = torch.arange(rows.shape[1], device=rows.device)
    ends = lengths.unsqueeze(-1)
    places = torch.where(steps < ends, ends - 1 - steps, steps)  # [batch, time]
    return rows.gather(1, places.unsqueeze(-1).expand_as(rows))


def _run(cell: Cell, inputs: Tensor, initial: State, weights: CellWeights) -> State:
    """The state after every step, each part `[batch, time, hidden]`."""
    match cell:
        case "min_gru":
            return (scan(min_gru_decay(inputs, weights), initial[0]),)
        case "min_lstm":
            return (scan(min_lstm_decay(inputs, weights), initial[0]),)
        case "ln_lstm":
            return _run_ln_lstm(inputs, LstmState(*initial), weights)
        case "ln_gru":
            given, after = normalised_input(inputs, weights, NORMALISED[cell]), ln_gru_after
        case _:
            given, after = linear(inputs, weights.input, weights.input_bias), gru_cho_after
    (h,), states = initial, list[Tensor]()
    for from_x in given.unbind(1):
        h = after(from_x, h, weights)
        states.append(h)
    return (torch.stack(states, dim=1),)


def _run_ln_lstm(inputs: Tensor, state: LstmState, weights: CellWeights) -> State:
    states = list[LstmState]()
    for from_x in normalised_input(inputs, weights, NORMALISED["ln_lstm"]).unbind(1):
        state = ln_lstm_after(from_x, state, weights)
        states.append(state)
    h, c = [one.h for one in states], [one.c for one in states]
    return torch.stack(h, dim=1), torch.stack(c, dim=1)
