"""The two graphs of an encoder-decoder are the network, and a version of them is whole."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor

from service.artifact.artifact import load_artifact
from service.artifact.beam import BeamParams
from service.artifact.manifest import MANIFEST_FILE, Manifest
from service.artifact.tasks import Seq2SeqOutput
from service.registry.served_model import verify as verify_for_serving
from service.runtime.session import RuntimeConfig
from tests.training.tiny import publish_tiny
from training.config import ModelConfig
from training.data.build import build as build_data
from training.data.pairs import TextPairs
from training.data.tokens import END_ID, START_ID
from training.evaluation.search import search
from training.export.claims import VerificationError
from training.export.encoder_decoder import PairGraphs, build_graphs
from training.export.halves import halved, in_halves
from training.export.lowering.rewriting import LoweringError
from training.export.verify_pairs import verify_pairs
from training.nn.encoder_decoder import EncoderDecoder
from training.recipes.quantization import publish_quantized
from training.recipes.registry import find_recipe
from training.recipes.steps import Folders
from training.runner import PairRunner, open_runner

CONFIG = ModelConfig(
    cell="gru",
    hidden=16,
    bidirectional=True,
    embedding=8,
    attention="multiplicative",
    heads=4,
    tied=True,
)
CONFIGS = {
    "additive": replace(CONFIG, attention="additive", tied=False),
    "multiplicative lstm": replace(CONFIG, cell="lstm", layers=2),
    "multi_head": replace(CONFIG, attention="multi_head"),
    "dot": replace(CONFIG, attention="dot", bidirectional=False),
    "blind": replace(CONFIG, attention=None, layers=2),
    "summed and residual": replace(CONFIG, layers=3, combine="sum", residual=True),
    "averaged and normalised": replace(CONFIG, layers=2, combine="mean", layer_norm=True),
    "norms inside": replace(CONFIG, cell="ln_lstm", layers=2),
    "minimal": replace(CONFIG, cell="min_gru", attention=None),
}


def network(config: ModelConfig = CONFIG) -> EncoderDecoder:
    torch.manual_seed(0)
    both = EncoderDecoder(config, num_source_tokens=130, num_target_tokens=140)
    halved(both)
    return both


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_graphs_are_the_network_alone_in_company_and_in_pieces(config: ModelConfig):
    both = network(config)
    seen = verify_pairs(both, build_graphs(both))
    assert set(seen) == {
        "onnx_equals_torch",
        "alone_equals_company",
        "padding_changes_nothing",
        "chunks_equal_whole",
    }


def _weaken(graphs: PairGraphs, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    for model in (graphs.encoder, graphs.decoder):
        for tensor in model.graph.initializer:
            if tensor.name == name:
                tensor.CopyFrom(
                    numpy_helper.from_array(change(numpy_helper.to_array(tensor)), name)
                )


def test_another_weight_is_refused():
    both = network()
    graphs = build_graphs(both)
    _weaken(graphs, "head_bias", lambda bias: bias + np.float32(0.01))
    with pytest.raises(VerificationError, match="onnx_equals_torch"):
        verify_pairs(both, graphs)


def test_a_decoder_that_looks_past_the_end_is_refused():
    both = network()
    graphs = build_graphs(both)
    _weaken(graphs, "minus_infinity", lambda _: np.array(0, np.float32))
    with pytest.raises(VerificationError):
        verify_pairs(both, graphs)


def test_weights_at_rest_take_two_bytes_and_lose_nothing():
    graphs = build_graphs(network(replace(CONFIG, embedding=64, hidden=64)))
    large = [t for t in graphs.decoder.graph.initializer if np.prod(t.dims) >= 1024]
    assert large
    assert all(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in large)


def test_a_weight_that_two_bytes_do_not_hold_is_refused():
    both = EncoderDecoder(
        replace(CONFIG, embedding=64), num_source_tokens=130, num_target_tokens=140
    )
    with pytest.raises(ValueError, match="two bytes"):
        build_graphs(both)


def test_a_graph_without_large_constants_stays_as_it_is():
    small = build_graphs(network()).encoder
    tiny = onnx.helper.make_model(onnx.helper.make_graph([], "none", [], []))
    assert in_halves(small).graph.input == small.graph.input
    assert in_halves(tiny).graph == tiny.graph


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_tiny(tmp_path_factory.mktemp("models"), recipe="tiny-pairs").folder


def some_sources() -> list[Tensor]:
    recipe = find_recipe("tiny-pairs")
    data = build_data(recipe.data, recipe.seed)
    assert isinstance(data, TextPairs)
    return list(data.tested.sources[:7])


def test_a_version_says_what_it_reads_and_writes(published: Path):
    artifact = load_artifact(published)
    manifest, output = artifact.manifest, artifact.manifest.output
    assert isinstance(output, Seq2SeqOutput)
    assert manifest.encoder is not None
    assert manifest.encoder.file == "encoder.onnx"
    assert manifest.graph.memory is not None
    assert not manifest.causal
    assert output.attention == "attention"
    assert output.search.beam_width == 3
    assert artifact.target_text is not None
    assert artifact.target_text.num_tokens == output.num_tokens
    assert {"encoder.onnx", "decoder.onnx", "tokenizer.json", "target.json"} <= set(manifest.files)


def test_a_version_answers_its_probe(published: Path):
    artifact = load_artifact(published)
    runner, probe = open_runner(artifact), artifact.probe
    assert isinstance(runner, PairRunner)
    assert probe.source is not None
    memory = runner.encode(probe.source.inputs, probe.source.lengths)
    decoded = runner.decode(probe.inputs, memory, lengths=probe.lengths)
    np.testing.assert_allclose(decoded.outputs, probe.outputs["logits"], atol=1e-5)
    np.testing.assert_allclose(decoded.attention, probe.outputs["attention"], atol=1e-5)


def test_it_has_learned_more_than_its_nearest_source_says(published: Path):
    beam, greedy = load_artifact(published).manifest.provenance.metrics
    for metric in (beam, greedy):
        assert metric.baseline is not None
    assert beam.value > 90


def test_its_card_shows_where_it_looked(published: Path):
    card = (published / "card.md").read_text()
    assert "(alignment.png)" in card
    assert (published / "alignment.png").read_bytes().startswith(b"\x89PNG")
    assert "what people wrote" in card


def test_a_version_that_does_not_look_back_is_whole_without_weights(tmp_path: Path):
    folder = publish_tiny(tmp_path, recipe="tiny-pairs-blind").folder
    artifact = load_artifact(folder)
    output = artifact.manifest.output
    assert isinstance(output, Seq2SeqOutput)
    assert output.attention is None
    assert [spec.name for spec in artifact.manifest.graph.outputs] == ["logits"]
    card = (folder / "card.md").read_text()
    assert "(lengths.png)" in card
    assert "a decoder without attention" in card


def test_a_search_finds_the_same_alone_and_in_company(published: Path):
    runner = open_runner(load_artifact(published))
    assert isinstance(runner, PairRunner)
    sources = some_sources()
    params = BeamParams(END_ID, width=3, length_penalty=0.6, max_tokens=20)
    together = search(sources, runner, params, start=START_ID)
    alone = [search([source], runner, params, start=START_ID)[0] for source in sources]
    for one, other in zip(alone, together, strict=True):
        assert one.hypothesis.tokens == other.hypothesis.tokens
        assert one.score == pytest.approx(other.score, abs=1e-4)


def test_a_wider_beam_finds_nothing_worse(published: Path):
    runner = open_runner(load_artifact(published))
    assert isinstance(runner, PairRunner)
    sources = some_sources()
    greedy, wide = (
        search(sources, runner, BeamParams(END_ID, width=width), start=START_ID) for width in (1, 6)
    )
    for one, other in zip(greedy, wide, strict=True):
        assert other.score >= one.score - 1e-4


def test_it_is_not_lowered_to_integers(published: Path):
    with pytest.raises(LoweringError, match="two graphs"):
        publish_quantized("tiny-pairs", Folders(models=published.parents[1]))


def test_the_service_verifies_both_graphs(published: Path):
    verified = verify_for_serving(load_artifact(published), RuntimeConfig(device="cpu"))
    assert verified.encoder is not None
    assert verified.probe_difference <= 1e-5


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("encoder", None, "need each other"),
        ("graph.memory", None, "need each other"),
        ("graph.memory.features", 7, "features"),
        ("encoder.state", ["lower_h_in"], "as many"),
        ("causal", True, "not causal"),
        ("output.end_token", 10_000, "not a token"),
        ("encoder.input.shape", ["batch"], "batch, time"),
    ],
)
def test_a_manifest_whose_parts_disagree_is_refused(
    published: Path, path: str, value: Any, message: str
):
    fields = json.loads((published / MANIFEST_FILE).read_text())
    *parents, last = path.split(".")
    part = fields
    for name in parents:
        part = part[name]
    part[last] = value
    with pytest.raises(ValueError, match=message):
        Manifest.model_validate(fields)
