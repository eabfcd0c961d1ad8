"""Truncated back-propagation: the state goes on, the gradient does not."""

import torch

from training.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from training.data.language import streams
from training.nn.models import LanguageModel
from training.tasks.language_modeling import LanguageModeling

MODEL = ModelConfig(cell="lstm", hidden=8, layers=2, embedding=4)
CONFIG = RunConfig(
    name="lines",
    description="",
    data=DataConfig("generated-text", batch_size=3),
    model=MODEL,
    optim=OptimConfig(learning_rate=1e-2, max_epochs=1),
)
IDS = torch.arange(91) * 7 % 11


def task() -> LanguageModeling:
    torch.manual_seed(0)
    built = LanguageModeling(LanguageModel(MODEL, 11), CONFIG).eval()
    built.on_validation_epoch_start()
    return built


def mean_loss(chunk_steps: int) -> float:
    built = task()
    chunks = streams(IDS, 3, chunk_steps=chunk_steps)
    with torch.no_grad():
        losses = [built.loss(chunk).item() * chunk.targets.numel() for chunk in chunks]
    return sum(losses) / sum(chunk.targets.numel() for chunk in chunks)


def test_the_loss_over_chunks_is_the_loss_over_the_whole():
    whole = mean_loss(chunk_steps=1000)
    for steps in (1, 4, 13):
        assert abs(mean_loss(chunk_steps=steps) - whole) < 1e-5  # float32, another order


def test_a_pass_starts_from_the_zero_state():
    built = task()
    first, second = streams(IDS, 3, chunk_steps=10)[:2]
    fresh = built.loss(first).item()
    built.loss(second)
    assert built.loss(first).item() != fresh
    built.on_validation_epoch_start()
    assert built.loss(first).item() == fresh


def test_no_gradient_crosses_a_chunks_edge():
    built = task()
    first, second = streams(IDS, 3, chunk_steps=10)[:2]
    built.loss(first)
    built.loss(second).backward()  # would raise if the first chunk's graph were still needed
    embedding = built.network.embedding.weight.grad
    assert embedding is not None
    unseen = set(range(11)) - set(second.inputs.flatten().tolist())
    assert all((embedding[token] == 0).all() for token in unseen)
