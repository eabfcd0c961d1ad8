"""A graph in the making: nodes in the order in which they run, and their constants."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.artifact.graphs import GraphSpec

Attribute = (
    int | float | str | bool | Sequence[int] | Sequence[float] | Sequence[str] | Sequence[bool]
)
"""Of a node, as ONNX and torch spell them."""

Shape = tuple[int | str, ...]
Declared = tuple[str, str, Shape]
"""Name, dtype and shape of an input or an output."""

OPSET = 17
"""Below 22: the CUDA provider knows the recurrent operators of opset 14 to 21 only."""
_IR_VERSION = 8
"""The IR that came with opset 17, so that old runtimes read the file."""
_DTYPES = {
    "float32": TensorProto.FLOAT,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
}
_MICROSOFT = "com.microsoft"
_DOMAINS = {"MatMulIntegerToFloat": _MICROSOFT}
"""Of the operators that are not ONNX's own."""


class Draft:
    """Collects nodes; every method that adds one returns the name of what it makes."""

    def __init__(self, constants: Iterable[onnx.TensorProto] = ()) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants_lie_outside = False
        self._constants = {tensor.name: tensor for tensor in constants}

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """A tensor of the file: the runtime packs constant weights ahead of the first call."""
        assert name not in self._constants, name
        self._constants[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def shared(self, name: str, value: NDArray[Any]) -> str:
        """A constant that several nodes need; the name says its value."""
        return name if name in self._constants else self.constant(name, value)

    def integers(self, *values: int) -> str:
        """A constant `[n]` int64, shared by all who need the same one."""
        return self.shared("_".join(["ints", *map(str, values)]), np.array(values, np.int64))

    def integer(self, number: int) -> str:
        """A constant int64 without axes, shared likewise."""
        return self.shared(f"int_{number}", np.array(number, np.int64))

    def number(self, name: str, value: float) -> str:
        """A constant float32 without axes, shared likewise; `name` says what it is."""
        return self.shared(name, np.array(value, np.float32))

    def add(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str,
        attributes: Mapping[str, Attribute | onnx.GraphProto] | None = None,
    ) -> str:
        """One node with one output."""
        return self.add_many(operator, inputs, [output], attributes)[0]

    def add_many(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attributes: Mapping[str, Attribute | onnx.GraphProto] | None = None,
    ) -> tuple[str, ...]:
        """One node; an empty name leaves an optional input or output out."""
        name = next(output for output in outputs if output)
        domain = _DOMAINS.get(operator, "")
        node = helper.make_node(operator, inputs, outputs, name=name, domain=domain)
        for key, value in (attributes or {}).items():
            node.attribute.append(helper.make_attribute(key, value))
        self._nodes.append(node)
        return tuple(outputs)

    def graft(self, graph: onnx.GraphProto, wires: Mapping[str, str], *, prefix: str) -> None:
        """All of another graph; `wires` says what its inputs and outputs are called in this one.

        Its other names get `prefix`, so that one graph may be grafted several times.
        """
        constants = {tensor.name for tensor in graph.initializer}
        for tensor in graph.initializer:
            self.constant(f"{prefix}{tensor.name}", numpy_helper.to_array(tensor))
        assert constants.isdisjoint(wires)

        def renamed(name: str) -> str:
            return wires.get(name, f"{prefix}{name}") if name else ""

        for node in graph.node:
            copied = onnx.NodeProto()
            copied.CopyFrom(node)
            copied.name = f"{prefix}{node.name}"
            copied.input[:] = map(renamed, node.input)
            copied.output[:] = map(renamed, node.output)
            self._nodes.append(copied)

    def copy(self, node: onnx.NodeProto) -> None:
        """A node of another graph, as it is."""
        self._nodes.append(node)

    def transpose(self, tensor: str, output: str, axes: Sequence[int]) -> str:
        return self.add("Transpose", [tensor], output, {"perm": list(axes)})

    def split(self, tensor: str, outputs: Sequence[str], *, sizes: Sequence[int], axis: int) -> str:
        """The parts are named by `outputs`; returns the first."""
        return self.add_many("Split", [tensor, self.integers(*sizes)], outputs, {"axis": axis})[0]

    def inner(self) -> "Draft":
        """A draft of the body of a node of this one: it sees and adds to the same constants."""
        body = Draft()
        body._constants = self._constants
        body._constants_lie_outside = True
        return body

    def body(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.GraphProto:
        """The graph that a node takes as an attribute; those of `inner` have no constants."""
        constants = [] if self._constants_lie_outside else self._constants_of(self._nodes)
        return helper.make_graph(self._nodes, "body", list(inputs), list(outputs), constants)

    def replace(self, model: onnx.ModelProto, node: onnx.NodeProto) -> None:
        """Put all that is here in the place of `node` in a finished model."""
        nodes, own = list(model.graph.node), _read(self._nodes, set(node.output))
        at = nodes.index(node)
        nodes[at : at + 1] = own
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        model.graph.initializer.extend(self._constants_of(own))

    def finish(
        self, spec: GraphSpec, *, opset: int = OPSET, steps: int | None = None
    ) -> onnx.ModelProto:
        """The checked model, with the inputs and outputs that `spec` names.

        With `steps` the time axis is of that length, and there are no lengths.
        """
        inputs, outputs = graph_inputs(spec), graph_outputs(spec)
        if steps is not None:
            inputs = [value for value in inputs if value[0] != spec.lengths]
        return self.close(
            [(name, dtype, _at(shape, steps)) for name, dtype, shape in inputs],
            [(name, dtype, _at(shape, steps)) for name, dtype, shape in outputs],
            opset=opset,
        )

    def close(
        self, inputs: Sequence[Declared], outputs: Sequence[Declared], *, opset: int = OPSET
    ) -> onnx.ModelProto:
        """The checked model, with those inputs and outputs."""
        graph = helper.make_graph(
            _read(self._nodes, {name for name, _, _ in outputs}),
            "recur",
            [value(*declared) for declared in inputs],
            [value(*declared) for declared in outputs],
        )
        graph.initializer.extend(self._constants_of(graph.node))
        opsets = [helper.make_opsetid("", opset)]
        if any(node.domain == _MICROSOFT for node in _all_nodes(graph)):
            opsets.append(helper.make_opsetid(_MICROSOFT, 1))
        model = helper.make_model(
            graph, producer_name="recur", opset_imports=opsets, ir_version=_IR_VERSION
        )
        onnx.checker.check_model(model, full_check=True)
        return model

    def _constants_of(self, nodes: Iterable[onnx.NodeProto]) -> list[onnx.TensorProto]:
        """Those that the nodes read."""
        read = {name for node in nodes for name in _names_read(node)}
        return [tensor for name, tensor in self._constants.items() if name in read]


def graph_inputs(spec: GraphSpec) -> list[Declared]:
    """Every input, in order: data, lengths, state, the memory of a decoder."""
    data = [(tensor.name, tensor.dtype, tensor.shape) for tensor in spec.inputs]
    state = [(pair.input, pair.dtype, pair.shape) for pair in spec.state]
    declared: list[Declared] = [*data, (spec.lengths, "int32", ("batch",)), *state]
    if (memory := spec.memory) is not None:
        shape = ("batch", "source_time", memory.features)
        declared += [(memory.name, "float32", shape), (memory.lengths, "int32", ("batch",))]
    return declared


def graph_outputs(spec: GraphSpec) -> list[Declared]:
    """Every output, in order: answers, state."""
    answers = [(tensor.name, tensor.dtype, tensor.shape) for tensor in spec.outputs]
    return [*answers, *((pair.output, pair.dtype, pair.shape) for pair in spec.state)]


def value(name: str, dtype: str, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _DTYPES[dtype], shape)


def _at(shape: Shape, steps: int | None) -> Shape:
    return shape if steps is None else tuple(steps if d == "time" else d for d in shape)


def _read(nodes: Sequence[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    """The nodes that `wanted` needs."""
    kept: list[onnx.NodeProto] = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted = wanted | _names_read(node)
    return kept[::-1]


def _names_read(node: onnx.NodeProto) -> set[str]:
    """Also by the bodies inside: they see the names outside."""
    names = set(node.input)
    for attribute in node.attribute:
        for inner in attribute.g.node:
            names |= _names_read(inner)
    return names


def _all_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    bodies = [attribute.g for node in graph.node for attribute in node.attribute]
    return [*graph.node, *(node for body in bodies for node in body.node)]
