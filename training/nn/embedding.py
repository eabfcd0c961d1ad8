"""A token's vector: its own, and where asked for the mean of those of its spelling's features.

So a rare token begins with what is known of others that end alike. (The sum of a word and its
parts: Bojanowski et al. 2017, arXiv 1607.04606.) Exported, both are one table again.
"""

from torch import Tensor, nn

_DEVIATION = 0.1
"""Near zero: a vector that training hardly touches should hardly matter."""


class TokenEmbedding(nn.Module):
    """Token ids to vectors; `spelling [tokens, features]` are the features of every token."""

    spelling: Tensor

    def __init__(self, num_tokens: int, size: int, spelling: Tensor | None = None) -> None:
        super().__init__()
        self.num_embeddings = num_tokens
        self.own = nn.Embedding(num_tokens, size)
        nn.init.normal_(self.own.weight, std=_DEVIATION)
        self.parts: nn.EmbeddingBag | None = None
        if spelling is not None:
            num_features = int(spelling.max()) + 1
            self.parts = nn.EmbeddingBag(num_features, size, mode="mean", padding_idx=0)
            nn.init.normal_(self.parts.weight, std=_DEVIATION)
            self.register_buffer("spelling", spelling)

    def forward(self, tokens: Tensor) -> Tensor:
        """`[batch, time]` to `[batch, time, size]`."""
        vectors = self.own(tokens)
        if self.parts is None:
            return vectors
        features = self.spelling[tokens.flatten()]  # [batch * time, features]
        return vectors + self.parts(features).view_as(vectors)

    def table(self) -> Tensor:
        """Every token's vector, `[tokens, size]`."""
        vectors = self.own.weight
        return vectors if self.parts is None else vectors + self.parts(self.spelling)

    def folded(self) -> "TokenEmbedding":
        """The same vectors, each a token's own."""
        one = TokenEmbedding(self.num_embeddings, self.own.embedding_dim)
        one.own.weight = nn.Parameter(self.table().detach())
        return one
