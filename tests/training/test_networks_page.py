"""What `training/NETWORKS.md` names is there: functions, files, tests and recipes."""

import ast
import re
from pathlib import Path

import pytest

from training.nn.reference.cells import CELLS
from training.recipes.registry import recipes

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "training" / "NETWORKS.md").read_text()
FUNCTIONS = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("path", "function"), FUNCTIONS)
def test_a_function_it_names_is_defined_there(path: str, function: str):
    module = ast.parse((ROOT / path).read_text())
    assert function in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:training|tests)/[\w/.]+)`", PAGE))))
def test_a_file_it_names_exists(path: str):
    assert (ROOT / path).exists()


def test_it_tells_of_every_cell_and_names_its_reference():
    functions = {function for _, function in FUNCTIONS}
    for name, cell in CELLS.items():
        assert f'"{name}"' in PAGE
        assert cell.__name__ in functions


def test_the_recipes_it_names_exist_and_are_of_cells_it_tells_of():
    named = re.findall(r"`([a-z]+(?:-[a-z]+)+)`", PAGE[PAGE.index("## Where each is used") :])
    assert set(named) <= recipes().keys()
    assert {recipes()[name].model.cell for name in named} == CELLS.keys() - {"rnn_relu"}
