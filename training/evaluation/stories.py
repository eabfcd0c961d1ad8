"""How often an answer is right, task by task: every task weighs as much as any other."""

from collections import Counter

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy

from service.artifact.manifest import Metric
from training.data.stories import StoryQuestions, task_of
from training.evaluation.classification import told_of
from training.evaluation.evaluation import Evaluation, Picture
from training.evaluation.plots import bars_picture
from training.runner import Runner


def evaluate_stories(data: StoryQuestions, runner: Runner, *, reference: str) -> Evaluation:
    """The mean of the tasks' accuracies, beside always saying a task's commonest answer."""
    told = torch.tensor([int(one.outputs.argmax()) for one in told_of(data.tested.ids, runner)])
    guesses = _commonest(data)
    answers = dict.fromkeys((*data.labels, *(item.class_name for item in data.tested.items)))
    # One that training never saw is an answer too, which is never given.
    places = {answer: place for place, answer in enumerate(answers)}
    truth = torch.tensor([places[item.class_name] for item in data.tested.items])
    guessed = torch.tensor([places[guesses[task_of(item)]] for item in data.tested.items])
    shares, floors = (
        _by_task(data, given, truth, num_classes=len(places)) for given in (told, guessed)
    )
    metric = Metric(
        name=f"accuracy, mean of {len(shares)} tasks",
        value=_mean(shares),
        split=f"test, {len(truth):,} questions",
        baseline=_mean(floors),
        baseline_name="always the task's commonest answer",
        reference=reference,
    )
    labels = [f"{task.replace('-', ' ')}, {share:.0%}" for task, share in shares.items()]
    picture = Picture(
        "tasks.png",
        "The share of each task's test questions that is answered rightly.",
        bars_picture(labels, list(shares.values())),
    )
    return Evaluation((metric,), picture)


def _by_task(
    data: StoryQuestions, given: Tensor, truth: Tensor, *, num_classes: int
) -> dict[str, float]:
    """Of every task of the test split, in its order, how many of the answers are right."""
    tasks = [task_of(item) for item in data.tested.items]
    shares: dict[str, float] = {}
    for task in dict.fromkeys(tasks):
        of_task = torch.tensor([each == task for each in tasks])
        accuracy = multiclass_accuracy(
            given[of_task], truth[of_task], num_classes=num_classes, average="micro"
        )
        shares[task] = float(accuracy)
    return shares


def _commonest(data: StoryQuestions) -> dict[str, str]:
    """The answer that each task's training questions have most often."""
    counts: dict[str, Counter[str]] = {}
    for item in data.learned.items:
        counts.setdefault(task_of(item), Counter())[item.class_name] += 1
    return {task: counted.most_common(1)[0][0] for task, counted in counts.items()}


def _mean(shares: dict[str, float]) -> float:
    return sum(shares.values()) / len(shares)
