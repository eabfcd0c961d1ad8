"""Two graphs are believed when measured: torch's numbers, alone, in company and in pieces.

What `verify` asks of one graph, asked of an encoder, and of a decoder that looks at memories of
differing lengths.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from training.export.claims import (
    ALONE_EQUALS_COMPANY,
    CHUNKS_EQUAL_WHOLE,
    COMPANIES,
    PADDING_CHANGES_NOTHING,
    difference,
    groups,
    hold,
    refusals,
    valid,
)
from training.export.encoder_decoder import PairGraphs
from training.export.verify import ONNX_EQUALS_TORCH, as_torch, widened
from training.nn.attention import valid_steps
from training.nn.encoder_decoder import EncoderDecoder
from training.runner import Memory, PairRunner, Ran

_AS_ITSELF = 1e-5
"""One runtime that sums over a source in another order."""
_SHAPES = ((1, 1, 1), (1, 7, 4), (3, 9, 12), (8, 40, 33))
"""(rows, source steps, target steps) of the ragged batches that are compared with torch."""
_ROWS, _SOURCE_STEPS, _STEPS, _CHUNKS = 12, 30, 24, (1, 3, 16)


@dataclass(frozen=True, slots=True)
class _Rows:
    """A ragged batch; padding is zero."""

    source: NDArray[np.int64]
    source_lengths: NDArray[np.int32]
    target: NDArray[np.int64]
    lengths: NDArray[np.int32]

    def pick(self, rows: Sequence[int]) -> "_Rows":
        """Some of the rows, trimmed to the longest of them."""
        source_lengths, lengths = self.source_lengths[rows], self.lengths[rows]
        source = self.source[rows, : source_lengths.max()]
        return _Rows(source, source_lengths, self.target[rows, : lengths.max()], lengths)


@dataclass(frozen=True, slots=True)
class _Seen:
    memory: Memory
    decoded: Ran

    def difference(self, expected: "_Seen", rows: _Rows) -> float:
        """The largest of memories, states, logits and attention, where they are valid."""
        one, other = self.memory, expected.memory
        worst = difference(
            Ran(one.values, one.state), Ran(other.values, other.state), rows.source_lengths
        )
        seen, wanted = self.decoded, expected.decoded
        if seen.attention is not None and wanted.attention is not None:
            # One of them may have more padding.
            steps = min(seen.attention.shape[2], wanted.attention.shape[2])
            seen = replace(seen, attention=seen.attention[..., :steps])
            wanted = replace(wanted, attention=wanted.attention[..., :steps])
        return max(worst, difference(seen, wanted, rows.lengths))

    def pick(self, rows: Sequence[int]) -> "_Seen":
        decoded, attention = self.decoded, self.decoded.attention
        state = tuple(part[:, rows] for part in decoded.state)
        picked = Ran(decoded.outputs[rows], state, None if attention is None else attention[rows])
        return _Seen(self.memory.pick(rows), picked)


def verify_pairs(network: EncoderDecoder, graphs: PairGraphs, *, seed: int = 0) -> dict[str, float]:
    """The largest difference seen for each claim. Raises VerificationError for a broken one."""
    network, draw = network.eval(), np.random.default_rng(seed)
    with refusals():
        runner = graphs.runner()
        batch = _random_rows(network, draw, (_ROWS, _SOURCE_STEPS, _STEPS))
        seen = {
            ONNX_EQUALS_TORCH: _from_torch(network, runner, draw),
            ALONE_EQUALS_COMPANY: _from_company(runner, batch),
            PADDING_CHANGES_NOTHING: _from_padding(runner, batch),
            CHUNKS_EQUAL_WHOLE: _from_chunks(runner, batch),
        }
    cell = network.encoder.stack.cell
    as_itself = dict.fromkeys(seen, widened(_AS_ITSELF, cell))
    hold(seen, as_itself | {ONNX_EQUALS_TORCH: as_torch(cell)})
    return seen


def _run(runner: PairRunner, rows: _Rows) -> _Seen:
    memory = runner.encode(rows.source, rows.source_lengths)
    return _Seen(memory, runner.decode(rows.target, memory, lengths=rows.lengths))


def _from_torch(network: EncoderDecoder, runner: PairRunner, draw: np.random.Generator) -> float:
    worst = 0.0
    for shape in _SHAPES:
        rows = _random_rows(network, draw, shape)
        worst = max(worst, _run(runner, rows).difference(_run_torch(network, rows), rows))
    return worst


def _run_torch(network: EncoderDecoder, rows: _Rows) -> _Seen:
    lengths = torch.from_numpy(rows.source_lengths).long()
    with torch.no_grad():
        encoded = network.encoder(torch.from_numpy(rows.source), lengths)
        decoded = network.decoder(
            torch.from_numpy(rows.target),
            encoded.state,
            encoded.memory,
            valid=valid_steps(lengths, rows.source.shape[1]),
            lengths=torch.from_numpy(rows.lengths).long(),
        )
    begins, ends = (
        tuple(part.numpy() for part in state) for state in (encoded.state, decoded.state)
    )
    attention = None if decoded.attention is None else decoded.attention.numpy()
    return _Seen(
        Memory(encoded.memory.numpy(), rows.source_lengths, begins),
        Ran(decoded.logits.numpy(), ends, attention),
    )


def _from_company(runner: PairRunner, batch: _Rows) -> float:
    """Each row alone, in a pair and among five, against all rows in one call."""
    together = _run(runner, batch)
    worst = 0.0
    for rows in _companies(len(batch.lengths)):
        part = batch.pick(rows)
        seen = _run(runner, part)
        expected = together.pick(rows)
        values = expected.memory.values[:, : part.source.shape[1]]
        outputs = expected.decoded.outputs[:, : part.target.shape[1]]
        attention = expected.decoded.attention
        if attention is not None:
            attention = attention[:, : part.target.shape[1], : part.source.shape[1]]
        trimmed = _Seen(
            replace(expected.memory, values=values),
            replace(expected.decoded, outputs=outputs, attention=attention),
        )
        worst = max(worst, seen.difference(trimmed, part))
    return worst


def _from_padding(runner: PairRunner, batch: _Rows) -> float:
    """Other tokens in both paddings, and a longer memory whose end is not even a number."""
    clean = _run(runner, batch)
    source, target = batch.source.copy(), batch.target.copy()
    source[~valid(batch.source_lengths, source.shape[1])] = 1
    target[~valid(batch.lengths, target.shape[1])] = 1
    worst = _run(runner, replace(batch, source=source, target=target)).difference(clean, batch)
    values = np.pad(clean.memory.values, ((0, 0), (0, 5), (0, 0)))
    values[~valid(batch.source_lengths, values.shape[1])] = np.nan
    padded = replace(clean.memory, values=values)
    decoded = runner.decode(batch.target, padded, lengths=batch.lengths)
    return max(worst, _Seen(clean.memory, decoded).difference(clean, batch))


def _from_chunks(runner: PairRunner, batch: _Rows) -> float:
    """Step by step and chunk by chunk against one call; full rows."""
    batch = replace(batch, lengths=np.full_like(batch.lengths, batch.target.shape[1]))
    whole = _run(runner, batch)
    worst = 0.0
    for size in _CHUNKS:
        pieces, memory = list[Ran](), whole.memory
        for start in range(0, batch.target.shape[1], size):
            pieces.append(runner.decode(batch.target[:, start : start + size], memory))
            memory = replace(memory, state=pieces[-1].state)
        outputs = np.concatenate([piece.outputs for piece in pieces], axis=1)
        weights = [piece.attention for piece in pieces if piece.attention is not None]
        attention = np.concatenate(weights, axis=1) if weights else None
        joined = Ran(outputs, pieces[-1].state, attention)
        worst = max(worst, _Seen(whole.memory, joined).difference(whole, batch))
    return worst


def _random_rows(
    network: EncoderDecoder, draw: np.random.Generator, shape: tuple[int, int, int]
) -> _Rows:
    """The first row is the longest."""
    rows, *steps = shape
    drawn: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = []
    for part, longest in zip((network.encoder, network.decoder), steps, strict=True):
        lengths = draw.integers(1, longest + 1, rows).astype(np.int32)
        lengths[0] = longest
        tokens = draw.integers(0, part.embedding.num_embeddings, (rows, longest))
        tokens[~valid(lengths, longest)] = 0
        drawn.append((tokens, lengths))
    (source, source_lengths), (target, lengths) = drawn
    return _Rows(source, source_lengths, target, lengths)


def _companies(count: int) -> Iterator[list[int]]:
    for size in COMPANIES:
        yield from groups(count, size)
