"""What a reference may say, and what counts as a version on disk."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ArtifactError, ModelNotFound
from service.registry.disk import ModelRef, load_version, scan
from tests.service.artifact.forging import set_field
from tests.service.artifacts import save_running_total


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("babble", ModelRef("babble")),
        ("babble@latest", ModelRef("babble")),
        ("babble@12", ModelRef("babble", 12)),
        ("a.b-c_9@1", ModelRef("a.b-c_9", 1)),
    ],
)
def test_a_reference_is_a_name_and_maybe_a_version(text: str, ref: ModelRef) -> None:
    assert ModelRef.parse(text) == ref


@pytest.mark.parametrize(
    "text",
    [
        *("", "@", "@1", "a@", "a@b", "a@-1", "a@1.0", "a@1@2", "a@9999999999", "a@١", "a@latest "),
        *("A", "../a", "a/b", "a b", "a\n", "é", ".a", "a" * 65),
    ],
)
def test_what_can_be_no_models_name_is_not_found(text: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        ModelRef.parse(text)
    assert caught.value.param == "model"


@given(st.text())
def test_any_text_is_a_reference_that_reads_back_or_is_not_found(text: str) -> None:
    try:
        ref = ModelRef.parse(text)
    except ModelNotFound as error:
        assert len(error.message) < 400  # noqa: PT017 - most texts end here, some do not
    else:
        assert ModelRef.parse(str(ref)) == ref


def test_a_scan_finds_versions_and_passes_over_all_else(tmp_path: Path) -> None:
    for version in (10, 2, 9):
        save_running_total(tmp_path, version=version)
    folder = tmp_path / "running-total"
    (folder / ".draft-3").mkdir()
    (folder / "4").mkdir()
    (folder / "notes.txt").write_text("no version")
    (folder / "05").symlink_to(folder / "2")
    (folder / "٣").symlink_to(folder / "2")
    (tmp_path / "Upper").mkdir()
    (tmp_path / "README.md").write_text("no model")
    (tmp_path / "empty").mkdir()
    assert scan(tmp_path) == {"running-total": [2, 9, 10]}


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert scan(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(("field", "value"), [("name", "other"), ("version", 2)])
def test_a_version_that_lies_elsewhere_than_it_says_is_refused(
    field: str, value: object, tmp_path: Path
) -> None:
    folder = save_running_total(tmp_path)
    set_field(folder, field, value)
    with pytest.raises(ArtifactError) as caught:
        load_version(tmp_path, "running-total", 1)
    assert caught.value.field == field
    assert "running-total/1" in caught.value.message
