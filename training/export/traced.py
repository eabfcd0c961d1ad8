"""Where the head is any torch code, torch exports it, and only the recurrent layers are ours.

`torch.onnx.ops.symbolic` leaves one node of a name of our own in the exported program, where torch
would unroll or freeze the loop; the layers, as `recurrent.py` writes them, take its place.
"""

import warnings

import onnx
import torch
from torch import Tensor, nn

from service.artifact.graphs import GraphSpec, TensorSpec
from training.export.attention import ATTENTION
from training.export.draft import Draft, graph_inputs, graph_outputs
from training.export.recurrent import LENGTHS, MODEL_FILE, add_layers
from training.nn.attention import valid_steps
from training.nn.models import SequenceClassifier
from training.nn.recurrent import RecurrentStack

_OPSET = 18
"""The exporter's own; later ones up to 21 hold the same recurrent operators."""
_DOMAIN, _STACK = "recur", "Stack"


def classifier_graph(network: SequenceClassifier) -> tuple[onnx.ModelProto, GraphSpec]:
    """Tokens and lengths to logits and what they were drawn from; no state is kept."""
    heads = network.pooling.query.out_features
    spec = GraphSpec(
        file=MODEL_FILE,
        inputs=(TensorSpec(name="tokens", dtype="int64", shape=("batch", "time")),),
        lengths=LENGTHS,
        outputs=(
            TensorSpec(name="logits", dtype="float32", shape=("batch", network.head.num_classes)),
            TensorSpec(name=ATTENTION, dtype="float32", shape=("batch", "time", heads)),
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
        stack=network.stack,
    ), spec


class _Classifier(nn.Module):
    """`SequenceClassifier` with a placeholder for its recurrent layers; export only."""

    def __init__(self, network: SequenceClassifier) -> None:
        super().__init__()
        self.embedding = network.embedding
        self.stack = _Placeholder(network.stack)
        self.pooled_steps = network.pooled_steps
        self.pooling = network.pooling
        self.head = network.head

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        embedded = self.embedding(tokens)
        steps = self.pooled_steps(embedded, self.stack(embedded, lengths))
        pooled = self.pooling(steps, valid_steps(lengths, tokens.shape[1]))
        return self.head(pooled.vector), pooled.weights


class _Placeholder(nn.Module):
    """Stands where the layers will be. Outside of an export it computes nothing."""

    def __init__(self, stack: RecurrentStack) -> None:
        super().__init__()
        self._num_outputs = stack.num_outputs

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """`[batch, time, features]` to `[batch, time, outputs]`."""
        return torch.onnx.ops.symbolic(
            f"{_DOMAIN}::{_STACK}",
            (inputs, lengths),
            dtype=torch.float32,
            shape=(*inputs.shape[:2], self._num_outputs),
            version=1,
        )


def _put_in_place(model: onnx.ModelProto, stack: RecurrentStack) -> None:
    """The layers of `stack`, from the zero state, where their placeholder is."""
    (place,) = [node for node in model.graph.node if node.op_type == _STACK]
    draft = Draft()
    steps = draft.transpose(place.input[0], "embedded_by_time", (1, 0, 2))
    steps, _ = add_layers(draft, stack, steps)
    draft.transpose(steps, place.output[0], (1, 0, 2))
    draft.replace(model, place)
    (domain,) = [entry for entry in model.opset_import if entry.domain == _DOMAIN]
    model.opset_import.remove(domain)


def _traced(
    module: nn.Module,
    example: tuple[Tensor, ...],
    *,
    dynamic_shapes: tuple[dict[int, torch.export.Dim], ...],
    spec: GraphSpec,
    stack: RecurrentStack,
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
    _put_in_place(model, stack)
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
