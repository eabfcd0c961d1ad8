"""A graph in the making: nodes in the order in which they run, and their constants."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.artifact.manifest import GraphSpec
from training.export.weights import Attribute

OPSET = 17
"""Below 22: the CUDA provider knows the recurrent operators of opset 14 to 21 only."""
_IR_VERSION = 8
"""The IR that came with opset 17, so that old runtimes read the file."""
_DTYPES = {
    "float32": TensorProto.FLOAT,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
}


class Draft:
    """Collects nodes; every method that adds one returns the name of what it makes."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """A tensor of the file: the runtime packs constant weights ahead of the first call."""
        assert name not in self._constants, name
        self._constants[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def integers(self, *values: int) -> str:
        """A constant `[n]` int64, shared by all who need the same one."""
        name = "_".join(["ints", *map(str, values)])
        if name not in self._constants:
            self.constant(name, np.array(values, np.int64))
        return name

    def add(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str,
        attributes: Mapping[str, Attribute] | None = None,
    ) -> str:
        """One node with one output."""
        return self.add_many(operator, inputs, [output], attributes)[0]

    def add_many(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attributes: Mapping[str, Attribute] | None = None,
    ) -> tuple[str, ...]:
        """One node; an empty name leaves an optional input or output out."""
        name = next(output for output in outputs if output)
        node = helper.make_node(operator, inputs, outputs, name=name)
        for key, value in (attributes or {}).items():
            node.attribute.append(helper.make_attribute(key, value))
        self._nodes.append(node)
        return tuple(outputs)

    def transpose(self, tensor: str, output: str, axes: Sequence[int]) -> str:
        return self.add("Transpose", [tensor], output, {"perm": list(axes)})

    def finish(self, spec: GraphSpec) -> onnx.ModelProto:
        """The checked model, with the inputs and outputs that `spec` names."""
        graph = helper.make_graph(
            self._nodes,
            "recur",
            [_value(name, dtype, shape) for name, dtype, shape in graph_inputs(spec)],
            [_value(name, dtype, shape) for name, dtype, shape in graph_outputs(spec)],
            list(self._constants.values()),
        )
        model = helper.make_model(
            graph,
            producer_name="recur",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR_VERSION,
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def graph_inputs(spec: GraphSpec) -> list[tuple[str, str, tuple[int | str, ...]]]:
    """(name, dtype, shape) of every input, in order: data, lengths, state."""
    data = [(tensor.name, tensor.dtype, tensor.shape) for tensor in spec.inputs]
    state = [(pair.input, pair.dtype, pair.shape) for pair in spec.state]
    return [*data, (spec.lengths, "int32", ("batch",)), *state]


def graph_outputs(spec: GraphSpec) -> list[tuple[str, str, tuple[int | str, ...]]]:
    """(name, dtype, shape) of every output, in order: answers, state."""
    answers = [(tensor.name, tensor.dtype, tensor.shape) for tensor in spec.outputs]
    return [*answers, *((pair.output, pair.dtype, pair.shape) for pair in spec.state)]


def _value(name: str, dtype: str, shape: tuple[int | str, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _DTYPES[dtype], shape)
