"""A finished graph, read for what another can stand in for: its recurrent layers and its heads.

It knows nothing of torch: the weights are the file's, so that what was published long ago can be
lowered today.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from service.artifact.graphs import GraphSpec

Operator = Literal["LSTM", "GRU", "RNN"]
_OPERATORS = ("LSTM", "GRU", "RNN")
_LOOP = "Scan"
_DIRECTIONS = (b"forward", b"bidirectional")
_UNDERSTOOD = {"hidden_size", "direction", "linear_before_reset", "activations"}
_KEEP_BOUNDS = {"Transpose", "Squeeze", "Unsqueeze", "Reshape", "Identity", "Split", "Slice"}
"""Operators whose outputs hold numbers of their first input and no others."""

Weights = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Cell:
    """One direction's weights, turned so that a row times a matrix gives all gates."""

    operator: Operator
    relu: bool
    """The activation of a plain RNN, in place of tanh: its state has no bounds."""
    input: Weights
    """`[features, gates * hidden]`"""
    recurrent: Weights
    """`[hidden, gates * hidden]`"""
    input_bias: Weights
    """`[gates * hidden]`"""
    recurrent_bias: Weights
    """`[gates * hidden]`"""

    @property
    def hidden(self) -> int:
        return len(self.recurrent)


@dataclass(frozen=True, slots=True)
class Layer:
    """A recurrent node, or a vanilla cell's loop, and the names of what it reads and gives."""

    name: str
    """As `identity` names its node."""
    cells: tuple[Cell, ...]
    """Forward, then backward if it looks both ways."""
    source: str
    """`[time, batch, features]`"""
    initial: tuple[str, ...]
    """`[1, batch, hidden]`: h, and c of an LSTM; none where the layer starts from zero."""
    steps: str
    """Its output: `[time, batch, hidden]`, or `[time, 2, batch, hidden]` of both directions."""
    finals: tuple[str, ...]
    """`[1, batch, hidden]`, in the order of `initial`; empty names are read by nobody."""
    nodes: tuple[str, ...]
    """All that the layer stands for, by `identity`, in the order of the graph."""


Chain = tuple[Layer, ...]
"""Layers of one direction, each of which is all that reads the one before."""


@dataclass(frozen=True, slots=True)
class Head:
    """A product with constant weights, and the bias that is added to it."""

    source: str
    weights: Weights
    """`[features, outputs]`"""
    bias: Weights | None
    output: str
    nodes: tuple[str, ...]
    """The nodes that it stands for, by `identity`."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """Rows of a constant table by token."""

    table: Weights
    """`[tokens, features]`"""
    tokens: str
    by_batch: bool
    """Whether the tokens are `[batch, time]`; else they are `[time, batch]`."""


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop over time that is no `Layer`: a minimal cell's, or a normalised one's. Its body is
    whole in itself."""

    node: onnx.NodeProto
    body: onnx.GraphProto


class Finished:
    """A graph whose weights are constants of its file."""

    def __init__(self, model: onnx.ModelProto, spec: GraphSpec) -> None:
        self.spec = spec
        self.nodes = list(model.graph.node)
        self.constants = list(model.graph.initializer)
        self.opset = max(entry.version for entry in model.opset_import if not entry.domain)
        self._tensors = {tensor.name: tensor for tensor in self.constants}
        self._makers = {output: node for node in self.nodes for output in node.output}
        self._outputs = {value.name for value in model.graph.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in set(node.input):
                self._readers.setdefault(name, []).append(node)

    def chains(self) -> Iterator[Chain]:
        """All recurrent nodes that can be read, each in one chain."""
        open_chain: list[Layer] = []
        for layer in filter(None, map(self._layer, self.nodes)):
            if open_chain and not self._continues(open_chain[-1], layer):
                yield tuple(open_chain)
                open_chain = []
            open_chain.append(layer)
        if open_chain:
            yield tuple(open_chain)

    def loops(self) -> Iterator[Loop]:
        """All loops that are not in a chain."""
        for node in self.nodes:
            if node.op_type == _LOOP and self._vanilla(node) is None:
                yield Loop(node, _attributes(node)["body"])

    @property
    def num_recurrent(self) -> int:
        """Nodes that carry something from step to step."""
        return sum(node.op_type in (*_OPERATORS, _LOOP) for node in self.nodes)

    @property
    def looks_back(self) -> bool:
        """Whether a direction goes from the end to the start."""
        turned = any(node.op_type == "ReverseSequence" for node in self.nodes)
        return turned or any(len(layer.cells) == 2 for chain in self.chains() for layer in chain)

    def from_state(self, loop: Loop) -> bool:
        """Whether the loop goes on from a state that it is given."""
        return bool(self._start(loop.node))

    def heads(self, bounded: set[str]) -> Iterator[Head]:
        """Products of what is `bounded`, see `within_one`, with constant matrices."""
        for node in self.nodes:
            if node.op_type != "MatMul" or node.input[0] not in bounded:
                continue
            weights = self._array(node.input[1])
            if weights is not None and weights.ndim == 2:
                yield self._head(node, weights)

    def within_one(self, steps: set[str]) -> set[str]:
        """`steps`, which lie in (-1, 1), and all tensors that hold numbers of theirs only."""
        bounded = set(steps)
        for node in self.nodes:
            if node.op_type in _KEEP_BOUNDS and node.input[0] in bounded:
                bounded.update(node.output)
        return bounded

    def lookup(self, source: str) -> Lookup | None:
        """The table behind `source [time, batch, features]`, if it is made of one."""
        maker = self._makers.get(source)
        by_batch = maker is not None and _is_transposed(maker)
        if maker is not None and by_batch:
            maker = self._makers.get(maker.input[0])
        if maker is None or maker.op_type != "Gather" or _attributes(maker).get("axis", 0) != 0:
            return None
        table = self._array(maker.input[0])
        if table is None or table.ndim != 2:
            return None
        return Lookup(table, maker.input[1], by_batch)

    def numbers_of_steps(self) -> Iterator[str]:
        """The tensors that say how long the input is."""
        data = self.spec.input.name
        for node in self.nodes:
            if node.op_type == "Gather" and (shape := self._makers.get(node.input[0])):
                place = self._array(node.input[1])
                of_data = shape.op_type == "Shape" and shape.input[0] == data
                if of_data and place is not None and place.shape == () and place == 1:
                    yield node.output[0]

    def _continues(self, before: Layer, layer: Layer) -> bool:
        one_way = len(before.cells) == len(layer.cells) == 1
        one, other = before.cells[0], layer.cells[0]
        same = (one.operator, one.hidden) == (other.operator, other.hidden)
        alone = self._num_readers(before.steps) == 1
        return one_way and same and alone and before.steps == layer.source

    def _layer(self, node: onnx.NodeProto) -> Layer | None:
        return self._vanilla(node) if node.op_type == _LOOP else self._fused(node)

    def _vanilla(self, node: onnx.NodeProto) -> Layer | None:
        """What `scanned.py` writes for a vanilla cell; None of any other loop."""
        graph = _attributes(node)["body"]
        body = list(graph.node)
        activation = body[2].op_type if len(body) > 2 else ""
        if [one.op_type for one in body] != ["MatMul", "Add", activation, "Where", "Identity"]:
            return None
        add = self._makers[node.input[1]]
        product = self._makers[add.input[0]]
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        recurrent = constants.get(body[0].input[1])
        inputs, bias = self._array(product.input[1]), self._array(add.input[1])
        ends = self._readers.get(node.output[0], [])
        told = self._num_readers(node.output[0]) != len(ends)
        if inputs is None or recurrent is None or bias is None or told:
            return None
        cell = Cell(
            "RNN",
            relu=activation == "Relu",
            input=inputs,
            recurrent=recurrent,
            input_bias=bias,
            recurrent_bias=np.zeros_like(bias),
        )
        return Layer(
            name=identity(node),
            cells=(cell,),
            source=product.input[0],
            initial=self._start(node),
            steps=node.output[1],
            finals=(ends[0].output[0] if ends else "",),
            nodes=tuple(identity(one) for one in (product, add, node, *ends)),
        )

    def _start(self, loop: onnx.NodeProto) -> tuple[str, ...]:
        """The state that a loop begins with, `[1, batch, hidden]`; none where that is zero."""
        maker = self._makers[loop.input[0]]
        return (maker.input[0],) if maker.op_type == "Squeeze" else ()

    def _fused(self, node: onnx.NodeProto) -> Layer | None:
        weights = [self._array(name) for name in (*node.input[1:4], "")[:3]]
        if node.op_type not in _OPERATORS or weights[0] is None or weights[1] is None:
            return None
        initial = tuple(name for name in node.input[5:] if name)
        finals = tuple(name if self._num_readers(name) else "" for name in node.output[1:])
        cells = tuple(_cells(node, weights[0], weights[1], weights[2]))
        steps = self._steps(node, len(cells))
        both_ways_from_state = len(cells) == 2 and (initial or any(finals))
        if not _is_plain(node) or steps is None or both_ways_from_state:
            return None
        names = dict.fromkeys([identity(node), identity(self._makers[steps])])
        return Layer(
            name=identity(node),
            cells=cells,
            source=node.input[0],
            initial=initial,
            steps=steps,
            finals=finals,
            nodes=tuple(names),
        )

    def _steps(self, node: onnx.NodeProto, directions: int) -> str | None:
        """The output at every step, without the axis of the one direction; None if it is not so
        that somebody reads."""
        output = node.output[0]
        if directions == 2:
            return output or None
        readers = self._readers.get(output, [])
        if not output or len(readers) != 1 or readers[0].op_type != "Squeeze":
            return None
        axes = self._array(readers[0].input[1]) if len(readers[0].input) > 1 else None
        return readers[0].output[0] if axes is not None and axes.tolist() == [1] else None

    def _head(self, node: onnx.NodeProto, weights: Weights) -> Head:
        (product,) = node.output
        readers = self._readers.get(product, [])
        if self._num_readers(product) == 1 and readers and readers[0].op_type == "Add":
            (other,) = [name for name in readers[0].input if name != product] or [product]
            bias = self._array(other)
            if bias is not None and bias.shape == weights.shape[1:]:
                names = (identity(node), identity(readers[0]))
                return Head(node.input[0], weights, bias, readers[0].output[0], names)
        return Head(node.input[0], weights, None, product, (identity(node),))

    def _num_readers(self, name: str) -> int:
        return len(self._readers.get(name, ())) + (name in self._outputs)

    def _array(self, name: str) -> NDArray[Any] | None:
        tensor = self._tensors.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)


def identity(node: onnx.NodeProto) -> str:
    """What tells a node from all others: the first name that it makes."""
    return next(name for name in node.output if name)


def _is_plain(node: onnx.NodeProto) -> bool:
    """No option that the lowered cells do not have: clips, peepholes, other activations."""
    attributes = _attributes(node)
    activations = set(attributes.get("activations", [b"Tanh"]))
    num_states = 2 if node.op_type == "LSTM" else 1
    initial = [name for name in node.input[5:] if name]
    return (
        attributes.keys() <= _UNDERSTOOD
        and attributes.get("direction", b"forward") in _DIRECTIONS
        and len(initial) in (0, num_states)
        and (node.op_type != "GRU" or attributes.get("linear_before_reset", 0) == 1)
        and (node.op_type == "RNN" or "activations" not in attributes)
        and (activations == {b"Tanh"} or activations == {b"Relu"})
    )


def _cells(
    node: onnx.NodeProto, inputs: Weights, recurrent: Weights, bias: Weights | None
) -> Iterator[Cell]:
    """From ONNX's `[directions, gates * hidden, ...]`."""
    relu = b"Relu" in _attributes(node).get("activations", ())
    gates = recurrent.shape[1]
    biases = np.zeros((len(recurrent), 2 * gates), np.float32) if bias is None else bias
    for direction in range(len(recurrent)):
        yield Cell(
            cast("Operator", node.op_type),
            relu=relu,
            input=np.ascontiguousarray(inputs[direction].T),
            recurrent=np.ascontiguousarray(recurrent[direction].T),
            input_bias=biases[direction, :gates],
            recurrent_bias=biases[direction, gates:],
        )


def _is_transposed(node: onnx.NodeProto) -> bool:
    """Whether the node swaps batch and time of `[batch, time, features]`."""
    return node.op_type == "Transpose" and [*_attributes(node).get("perm", ())] == [1, 0, 2]


def _attributes(node: onnx.NodeProto) -> Mapping[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}
