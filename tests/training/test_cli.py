"""The command line does what a newcomer types first."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.artifact.artifact import load_artifact
from training.cli import app, main
from training.config import load_config
from training.fit import read_curve
from training.recipes.registry import recipes


def run(*words: str) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_list_names_every_recipe():
    listed = run("train", "--list")
    assert all(name in listed for name in recipes())


def test_data_is_described_with_its_licence():
    described = run("data", "tiny_series")
    for said in ("train", "rows 0 to 399", "licence", "generated"):
        assert said in described


@pytest.mark.slow
def test_train_resume_evaluate_export_publish_and_quantize(tmp_path: Path):
    runs, models = ("--runs", str(tmp_path / "runs")), ("--models", str(tmp_path / "models"))
    run("train", "tiny_language", "--max-epochs", "1", "--seed", "0", *runs)
    run("train", "tiny-language", "--resume", "--max-epochs", "2", *runs)
    assert len(read_curve(tmp_path / "runs" / "tiny-language")) == 2

    of_run = run("evaluate", "tiny-language", *runs, *models)
    assert str(tmp_path / "runs") in of_run
    assert "bigram" in of_run

    run("export", "tiny-language", str(tmp_path / "out"), *runs, *models)
    assert load_artifact(tmp_path / "out").manifest.name == "tiny-language"
    assert "tiny-language/1" in run("publish", "tiny-language", *runs, *models)
    assert "models/tiny-language/1" in run("evaluate", "tiny-language", *runs, *models)

    quantized = run("quantize", "tiny-language", *models)
    assert "tiny-language/2" in quantized
    assert "nats per character" in quantized
    assert "models/tiny-language/2" in run("evaluate", "tiny-language", *runs, *models)


@pytest.mark.slow
def test_what_was_changed_at_training_holds_until_it_is_published(tmp_path: Path):
    """Another seed splits other texts off, and so makes another vocabulary."""
    runs, models = ("--runs", str(tmp_path / "runs")), ("--models", str(tmp_path / "models"))
    run("train", "tiny-questions", "--max-epochs", "1", "--seed", "7", *runs)
    run("publish", "tiny-questions", *runs, *models)
    folder = tmp_path / "models" / "tiny-questions" / "1"
    published = load_config((folder / "recipe.json").read_bytes())
    assert (published.seed, published.optim.max_epochs) == (7, 1)
    first = load_artifact(folder).manifest.provenance.metrics[0]
    assert f"{first.value:.4f}" in run("evaluate", "tiny-questions", *runs, *models)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "no-such"], "no recipe 'no-such'"),
        (["train", "tiny-language", "--resume"], "no trained model"),
        (["publish", "tiny-language"], "no trained model"),
        (["quantize", "tiny-language"], "no published version of tiny-language"),
    ],
)
def test_what_went_wrong_is_one_line(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["recur", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
