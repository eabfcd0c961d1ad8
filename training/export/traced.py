"""Where the head is any torch code, torch exports it, and only the recurrent nodes are ours.

`torch.onnx.ops.symbolic_multi_out` leaves a named ONNX operator in the exported program, so that
a fused operator with lengths stands where torch would unroll or freeze the loop.
"""

import warnings

import onnx
import torch
from torch import Tensor, nn

from service.artifact.manifest import GraphSpec, TensorSpec
from training.export.draft import graph_inputs, graph_outputs
from training.export.recurrent import LENGTHS, MODEL_FILE
from training.export.weights import OPERATORS, layer_weights, operator_attributes
from training.nn.attention import valid_steps
from training.nn.models import SequenceClassifier
from training.nn.recurrent import RecurrentStack

_OPSET = 18
"""The exporter's own; later ones up to 21 hold the same recurrent operators."""
_OPERATOR_VERSION = 14


def classifier_graph(network: SequenceClassifier) -> tuple[onnx.ModelProto, GraphSpec]:
    """Tokens and lengths to logits; a network that looks both ways has no state."""
    spec = GraphSpec(
        file=MODEL_FILE,
        inputs=(TensorSpec(name="tokens", dtype="int64", shape=("batch", "time")),),
        lengths=LENGTHS,
        outputs=(
            TensorSpec(name="logits", dtype="float32", shape=("batch", network.head.num_classes)),
        ),
    )
    tokens = torch.zeros(3, 5, dtype=torch.int64)
    lengths = torch.tensor([5, 4, 2], dtype=torch.int32)
    batch, time = torch.export.Dim("batch"), torch.export.Dim("time")
    return _traced(
        _Classifier(network).eval(),
        (tokens, lengths),
        dynamic_shapes=({0: batch, 1: time}, {0: batch}),
        spec=spec,
    ), spec


class _Classifier(nn.Module):
    """`SequenceClassifier` with fused operators for its recurrent layers; export only."""

    def __init__(self, network: SequenceClassifier) -> None:
        super().__init__()
        self.embedding = network.embedding
        self.stack = _FusedStack(network.stack)
        self.pooling = network.pooling
        self.head = network.head

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        steps = self.stack(self.embedding(tokens), lengths)
        return self.head(self.pooling(steps, valid_steps(lengths, tokens.shape[1])))


class _FusedStack(nn.Module):
    """A stack whose layers are operators by name. Outside of an export they compute nothing."""

    def __init__(self, stack: RecurrentStack) -> None:
        super().__init__()
        self._operator = OPERATORS[stack.cell]
        self._attributes = operator_attributes(stack)
        self._hidden = stack.fused.hidden_size
        self._directions = 2 if stack.fused.bidirectional else 1
        self._layers = stack.fused.num_layers
        for layer in range(self._layers):
            weights = layer_weights(stack, layer)
            assert weights.bias is not None
            self.register_buffer(f"input{layer}", torch.tensor(weights.input))
            self.register_buffer(f"recurrent{layer}", torch.tensor(weights.recurrent))
            self.register_buffer(f"bias{layer}", torch.tensor(weights.bias))

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """`[batch, time, features]` to `[batch, time, directions * hidden]`."""
        steps = inputs.transpose(0, 1)  # [time, batch, features]
        time, batch = steps.shape[:2]
        final = (self._directions, batch, self._hidden)
        num_states = 2 if self._operator == "LSTM" else 1
        for layer in range(self._layers):
            weights = [getattr(self, f"{part}{layer}") for part in ("input", "recurrent", "bias")]
            outputs = torch.onnx.ops.symbolic_multi_out(
                self._operator,
                (steps, *weights, lengths),
                attrs=self._attributes,
                dtypes=(torch.float32,) * (1 + num_states),
                shapes=((time, self._directions, batch, self._hidden), *[final] * num_states),
                version=_OPERATOR_VERSION,
            )[0]  # [time, directions, batch, hidden]
            steps = outputs.transpose(1, 2).reshape(time, batch, self._directions * self._hidden)
        return steps.transpose(0, 1)


def _traced(
    module: nn.Module,
    example: tuple[Tensor, ...],
    *,
    dynamic_shapes: tuple[dict[int, torch.export.Dim], ...],
    spec: GraphSpec,
) -> onnx.ModelProto:
    inputs, outputs = graph_inputs(spec), graph_outputs(spec)
    with warnings.catch_warnings():
        # The exporter's own old call, and its word that two inputs share an axis: they must.
        warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
        warnings.filterwarnings("ignore", message="# The axis name")
        program = torch.onnx.export(
            module,
            example,
            input_names=[name for name, _, _ in inputs],
            output_names=[name for name, _, _ in outputs],
            dynamic_shapes=dynamic_shapes,
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _declare_shapes(model, {name: shape for name, _, shape in [*inputs, *outputs]})
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def _declare_shapes(model: onnx.ModelProto, shapes: dict[str, tuple[int | str, ...]]) -> None:
    """The exporter freezes or renames dimensions; say what they are."""
    for value in [*model.graph.input, *model.graph.output]:
        dims = value.type.tensor_type.shape.dim
        for dim, size in zip(dims, shapes[value.name], strict=True):
            dim.Clear()
            if isinstance(size, int):
                dim.dim_value = size
            else:
                dim.dim_param = size


def _strip(model: onnx.ModelProto) -> None:
    """Drop guessed inner shapes, and traces that name files of the exporting machine."""
    del model.graph.value_info[:]
    for part in [model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output]:
        del part.metadata_props[:]
        part.doc_string = ""
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""
    del model.functions[:]
