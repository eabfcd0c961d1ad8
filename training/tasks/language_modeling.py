"""The next token, with the state carried from chunk to chunk and the gradient cut between them."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from training.config import RunConfig
from training.data.batches import Batch
from training.nn.models import LanguageModel, Prediction
from training.nn.recurrent import State
from training.tasks.task import Task


class LanguageModeling(Task):
    """Truncated back-propagation through time (Williams and Peng 1990) over streams of text.

    The state lives here between the chunks of one pass, and starts at zero with every pass.
    """

    network: LanguageModel

    def __init__(self, network: LanguageModel, config: RunConfig) -> None:
        super().__init__(network, config)
        self._carried: State | None = None

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self._carried = None

    def on_validation_epoch_start(self) -> None:
        self._carried = None

    def loss(self, batch: Batch) -> Tensor:
        """Mean nats per token of the chunk, from where the last chunk ended."""
        prediction: Prediction = self.network(batch.inputs, batch.lengths, self._carried)
        self._carried = tuple(part.detach() for part in prediction.state)
        return cross_entropy(prediction.outputs.flatten(0, 1).float(), batch.targets.flatten())
