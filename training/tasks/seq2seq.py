"""Every token of the target, given the source and the tokens before it."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from training.data.batches import Batch
from training.data.tokens import PAD_ID
from training.nn.encoder_decoder import EncoderDecoder
from training.tasks.task import VALIDATION_LOSS, Task


class Seq2Seq(Task):
    """Teacher forcing (Williams and Zipser 1989): the decoder reads the true target so far."""

    network: EncoderDecoder

    def loss(self, batch: Batch) -> Tensor:
        return self._nats(batch, smoothing=self.config.optim.label_smoothing)

    def validation_figures(self, batch: Batch) -> dict[str, Tensor]:
        """Nats per token; its exponential is the perplexity."""
        return {VALIDATION_LOSS: self._nats(batch, smoothing=0.0)}

    def num_targets(self, batch: Batch) -> int:
        return int((batch.targets[:, 1:] != PAD_ID).sum())

    def _nats(self, batch: Batch, *, smoothing: float) -> Tensor:
        """The start token is read and not asked for, the end token is asked for and not read."""
        assert batch.lengths is not None
        decoded = self.network(batch.inputs, batch.lengths, batch.targets[:, :-1])
        return cross_entropy(
            decoded.logits.flatten(0, 1).float(),
            batch.targets[:, 1:].flatten(),
            ignore_index=PAD_ID,
            label_smoothing=smoothing,
        )
