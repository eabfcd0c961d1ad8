"""A model trained and published in seconds, for tests that need a real artifact and its network."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from training.config import RunConfig
from training.recipes.registry import find_recipe
from training.recipes.steps import Folders, publish, train


@dataclass(frozen=True, slots=True)
class Published:
    folder: Path
    """`models/<name>/<version>`"""
    network: nn.Module
    """What the artifact was exported from, in evaluation mode."""


def publish_tiny(models: Path, *, recipe: str = "tiny-language") -> Published:
    """Train `recipe` on generated data and publish it into `models`."""
    with tempfile.TemporaryDirectory() as runs:
        return publish_run(find_recipe(recipe), Folders(Path(runs), models))


def publish_run(config: RunConfig, folders: Folders) -> Published:
    task = train(config, folders)
    return Published(publish(config, folders), task.network)
