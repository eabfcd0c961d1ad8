"""Tensors as bytes, in the safetensors format: a JSON header, then the numbers, little-endian.

    8 bytes     length of the header
    header      {"name": {"dtype": "F32", "shape": [2, 7], "data_offsets": [0, 56]}, ...}
    numbers     row by row; offsets count from the header's end

The format is small and its limits are known beforehand, so that whatever is wrong can be named.
"""

import math
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from service.errors import MalformedRequest
from service.protocols.unique import check_unique

MEDIA_TYPE = "application/vnd.safetensors"

_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 1 << 20
_MAX_RANK = 8
_METADATA = "__metadata__"
_NAMES_OF_ENTRY = 4
"""Its own, and those of its fields."""

_DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}

Size = Annotated[int, Meta(ge=0, le=2**62)]


class Tensors(msgspec.Struct, frozen=True):
    """Arrays by name, views of the bytes that they came from; and what the sender says of them."""

    arrays: dict[str, NDArray[Any]]
    metadata: dict[str, str] = {}


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: Annotated[list[Size], Meta(max_length=_MAX_RANK)]
    data_offsets: tuple[Size, Size]


_HEADER = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENTRY = msgspec.json.Decoder(_Entry)
_TEXTS = msgspec.json.Decoder(dict[str, str])


def load(data: bytes) -> Tensors:
    """Raises MalformedRequest that names what is wrong: of the header, or of one tensor."""
    if len(data) < _LENGTH_BYTES:
        raise MalformedRequest(
            f"header length: {len(data)} bytes, where its {_LENGTH_BYTES} begin", param="header"
        )
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    start = _LENGTH_BYTES + length
    if length > _MAX_HEADER_BYTES:
        raise MalformedRequest(
            f"header length: {length}, over the {_MAX_HEADER_BYTES} that are read",
            param="header",
            details={"limit": _MAX_HEADER_BYTES},
        )
    if start > len(data):
        raise MalformedRequest(
            f"header length: {length}, but {len(data) - _LENGTH_BYTES} bytes follow it",
            param="header",
        )
    header = data[_LENGTH_BYTES:start]
    try:
        entries = _HEADER.decode(header)
    except _UNREADABLE as error:
        raise MalformedRequest(f"header: {error}", param="header") from error
    raw_metadata = entries.pop(_METADATA, None)
    metadata = {} if raw_metadata is None else _metadata(raw_metadata)
    numbers = memoryview(data)[start:]
    arrays = {name: _array(name, raw, numbers) for name, raw in entries.items()}
    num_names = len(arrays) * _NAMES_OF_ENTRY + len(metadata) + (raw_metadata is not None)
    if header.count(b":") > num_names:  # some stand in texts, or a name stands twice
        check_unique(header)
    return Tensors(arrays, metadata)


def dump(tensors: Tensors) -> bytes:
    """The bytes that `load` reads; any reader of safetensors does."""
    header: dict[str, Any] = {_METADATA: tensors.metadata} if tensors.metadata else {}
    parts: list[bytes] = []
    offset = 0
    for name, array in tensors.arrays.items():
        little = array.dtype.newbyteorder("<")
        part = np.ascontiguousarray(array, little).tobytes()
        end = offset + len(part)
        header[name] = {
            "dtype": _NAMES[little],
            "shape": array.shape,
            "data_offsets": (offset, end),
        }
        parts.append(part)
        offset = end
    head = msgspec.json.encode(header)
    head += b" " * (-len(head) % _LENGTH_BYTES)  # so that the numbers stand aligned
    return b"".join((len(head).to_bytes(_LENGTH_BYTES, "little"), head, *parts))


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _metadata(raw: msgspec.Raw) -> dict[str, str]:
    try:
        return _TEXTS.decode(raw)
    except _UNREADABLE as error:
        raise MalformedRequest(f"{_METADATA}: {error}", param=_METADATA) from error


def _array(name: str, raw: msgspec.Raw, numbers: memoryview) -> NDArray[Any]:
    try:
        entry = _ENTRY.decode(raw)
    except _UNREADABLE as error:
        raise MalformedRequest(f"{name}: {error}", param=name) from error
    dtype = _DTYPES.get(entry.dtype)
    if dtype is None:
        raise MalformedRequest(
            f"{name}.dtype: {entry.dtype!r} is not read",
            param=f"{name}.dtype",
            details={"accepted": list(_DTYPES)},
        )
    begin, end = entry.data_offsets
    if not begin <= end <= len(numbers):
        raise MalformedRequest(
            f"{name}.data_offsets: {begin} to {end}, of {len(numbers)} bytes",
            param=f"{name}.data_offsets",
        )
    wanted = math.prod(entry.shape) * dtype.itemsize
    if end - begin != wanted:
        raise MalformedRequest(
            f"{name}.data_offsets: {end - begin} bytes, where {entry.dtype} of shape "
            f"{entry.shape} takes {wanted}",
            param=f"{name}.data_offsets",
        )
    return np.frombuffer(numbers[begin:end], dtype).reshape(entry.shape)
