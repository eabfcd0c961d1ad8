"""An encoder-decoder becomes two graphs: one reads a source once, one writes step by step.

The recurrent layers of each part are a graph of their own, grafted where they belong.
"""

from dataclasses import dataclass

import numpy as np
import onnx

from service.artifact.graphs import EncoderSpec, GraphSpec, MemorySpec, StateSpec, TensorSpec
from training.export.attention import ATTENTION, Memory, add_attention
from training.export.draft import Declared, Draft
from training.export.graph import serialized
from training.export.halves import in_halves
from training.export.linear import add_linear
from training.export.recurrent import stack_graph
from training.export.weights import array
from training.nn.encoder_decoder import Decoder, Encoder, EncoderDecoder, TokenEmbedding
from training.nn.recurrent import RecurrentStack
from training.runner import PairRunner

ENCODER_FILE, DECODER_FILE = "encoder.onnx", "decoder.onnx"
_LENGTHS, _TOKENS, _MEMORY, _EMBEDDING = "lengths", "tokens", "memory", "embedding"
_PARTS = ("lower", "upper")


@dataclass(frozen=True, slots=True)
class PairGraphs:
    encoder: onnx.ModelProto
    encoder_spec: EncoderSpec
    decoder: onnx.ModelProto
    spec: GraphSpec
    """Of the decoder."""

    @property
    def files(self) -> dict[str, bytes]:
        """What is published of them."""
        return {
            self.encoder_spec.file: serialized(self.encoder),
            self.spec.file: serialized(self.decoder),
        }

    def runner(self) -> PairRunner:
        encoder, decoder = self.files.values()
        return PairRunner(encoder, decoder, reads=self.encoder_spec, writes=self.spec)


def build_graphs(network: EncoderDecoder) -> PairGraphs:
    """The graphs of a trained network whose weights are `halved`: they keep two bytes of each."""
    state = _state_specs(network.decoder)
    encoder, encoder_spec = _encoder_graph(network.encoder, state)
    decoder, spec = _decoder_graph(network, state)
    return PairGraphs(in_halves(encoder), encoder_spec, in_halves(decoder), spec)


def encoder_outputs(spec: EncoderSpec, state: tuple[StateSpec, ...]) -> list[Declared]:
    """The memory, and the decoder's first state."""
    begins = zip(spec.state, state, strict=True)
    memory = (spec.memory.name, spec.memory.dtype, spec.memory.shape)
    return [memory, *((name, pair.dtype, pair.shape) for name, pair in begins)]


def _encoder_graph(
    network: Encoder, state: tuple[StateSpec, ...]
) -> tuple[onnx.ModelProto, EncoderSpec]:
    spec = EncoderSpec(
        file=ENCODER_FILE,
        input=TensorSpec(name=_TOKENS, dtype="int64", shape=("batch", "time")),
        lengths=_LENGTHS,
        memory=TensorSpec(
            name=_MEMORY, dtype="float32", shape=("batch", "time", network.stack.num_outputs)
        ),
        state=tuple(pair.input for pair in state),
    )
    draft = Draft()
    steps = _add_embedding(draft, network.embedding)
    model, layers = _stack_graph(network.stack)
    zeros = {pair.input: _add_zeros(draft, pair) for pair in layers.state}
    ends = {pair.output: f"encoder_{pair.output}" for pair in layers.state}
    wires = {"values": steps, _LENGTHS: _LENGTHS, "outputs": _MEMORY, **zeros, **ends}
    draft.graft(model.graph, wires, prefix="encoder_")
    _add_bridge(draft, network, ends[layers.state[0].output], spec.state)
    inputs: list[Declared] = [
        (_TOKENS, "int64", spec.input.shape),
        (_LENGTHS, "int32", ("batch",)),
    ]
    return draft.close(inputs, encoder_outputs(spec, state)), spec


def _add_bridge(draft: Draft, network: Encoder, ends: str, outputs: tuple[str, ...]) -> None:
    """The top layer's last states `[directions, batch, hidden]` to the decoder's first state."""
    directions, hidden = network.directions, network.bridge.in_features // network.directions
    of_top = draft.add(
        "Slice",
        [ends, draft.integers(-directions), draft.integers(2**31 - 1), draft.integers(0)],
        "ends_of_top",
    )
    by_batch = draft.transpose(of_top, "ends_by_batch", (1, 0, 2))
    flat = draft.add("Reshape", [by_batch, draft.integers(0, directions * hidden)], "ends_flat")
    bridged = draft.add("Tanh", [add_linear(draft, flat, "bridge", network.bridge)], "bridged")
    parts = [f"{name}_flat" for name in outputs]
    sizes = [network.bridge.out_features // len(outputs)] * len(outputs)
    draft.split(bridged, parts, sizes=sizes, axis=1)
    for part, output in zip(parts, outputs, strict=True):
        draft.add("Unsqueeze", [part, draft.integers(0)], output)


def _decoder_graph(
    network: EncoderDecoder, state: tuple[StateSpec, ...]
) -> tuple[onnx.ModelProto, GraphSpec]:
    decoder = network.decoder
    num_tokens = decoder.head.out_features
    logits = TensorSpec(name="logits", dtype="float32", shape=("batch", "time", num_tokens))
    weights = TensorSpec(name=ATTENTION, dtype="float32", shape=("batch", "time", "source_time"))
    spec = GraphSpec(
        file=DECODER_FILE,
        inputs=(TensorSpec(name=_TOKENS, dtype="int64", shape=("batch", "time")),),
        lengths=_LENGTHS,
        outputs=(logits,) if decoder.attention is None else (logits, weights),
        state=state,
        memory=MemorySpec(name=_MEMORY, features=network.encoder.stack.num_outputs),
    )
    assert spec.memory is not None
    draft = Draft()
    steps = _add_embedding(draft, decoder.embedding)
    steps = _graft_part(draft, "lower", decoder.lower, steps)
    seen = [steps]
    if decoder.attention is not None:
        memory = Memory(spec.memory.name, spec.memory.lengths)
        seen.append(add_attention(draft, decoder.attention, steps, memory))
        steps = draft.add("Concat", seen, "upper_values", {"axis": 2})
    upper = _graft_part(draft, "upper", decoder.upper, steps)
    told = upper
    if decoder.attention is not None:
        told = draft.add("Concat", [upper, *seen[1:]], "told", {"axis": 2})
    read = draft.add("Tanh", [add_linear(draft, told, "readout", decoder.readout)], "read")
    _add_head(draft, decoder, read)
    return draft.finish(spec), spec


def _graft_part(draft: Draft, part: str, stack: RecurrentStack, steps: str) -> str:
    """Steps `[batch, time, features]` to the part's outputs, from its own state to its own."""
    model, spec = _stack_graph(stack)
    outputs = f"{part}_outputs"
    wires = {"values": steps, _LENGTHS: _LENGTHS, "outputs": outputs}
    for pair in spec.state:
        wires |= {name: f"{part}_{name}" for name in (pair.input, pair.output)}
    draft.graft(model.graph, wires, prefix=f"{part}_")
    return outputs


def _add_embedding(draft: Draft, embedding: TokenEmbedding) -> str:
    weights = draft.constant(_EMBEDDING, array(embedding.weight))
    gathered = draft.add("Gather", [weights, _TOKENS], "embedded_small")
    scale = draft.constant("embedding_scale", np.array(embedding.scale, np.float32))
    return draft.add("Mul", [gathered, scale], "embedded")


def _add_head(draft: Draft, decoder: Decoder, read: str) -> None:
    """Tied, the file holds one matrix for both; the runtime turns it at load."""
    if decoder.head.weight is decoder.embedding.weight:
        weights = draft.transpose(_EMBEDDING, "head_weights", (1, 0))
    else:
        weights = draft.constant("head_weights", array(decoder.head.weight).T)
    product = draft.add("MatMul", [read, weights], "head_product")
    draft.add("Add", [product, draft.constant("head_bias", array(decoder.head.bias))], "logits")


def _state_specs(decoder: Decoder) -> tuple[StateSpec, ...]:
    """`lower_h_in -> lower_h_out`, and so on: the lower part's state, then the upper's."""
    return tuple(
        pair.model_copy(update={"input": f"{part}_{pair.input}", "output": f"{part}_{pair.output}"})
        for part, stack in zip(_PARTS, (decoder.lower, decoder.upper), strict=True)
        for pair in _stack_graph(stack)[1].state
    )


def _stack_graph(stack: RecurrentStack) -> tuple[onnx.ModelProto, GraphSpec]:
    draft, spec = stack_graph(stack)
    return draft.finish(spec), spec


def _add_zeros(draft: Draft, pair: StateSpec) -> str:
    """The state from which an encoder reads every source."""
    row = np.zeros([d if isinstance(d, int) else 1 for d in pair.shape], np.float32)
    zeros = draft.constant(f"encoder_zero_{pair.input}", row)
    shape = draft.add("Shape", [_TOKENS], f"encoder_shape_{pair.input}")
    batch = draft.add("Gather", [shape, draft.integers(0)], f"encoder_batch_{pair.input}")
    ones = draft.integers(1)
    target = draft.add("Concat", [ones, batch, ones], f"encoder_rows_{pair.input}", {"axis": 0})
    return draft.add("Expand", [zeros, target], f"encoder_begin_{pair.input}")
