"""Whether this processor multiplies bytes exactly and fast, read off its own list of features.

Without such instructions ONNX Runtime still runs integer graphs, but on x86 it adds pairs of
products in 16 bits, which saturate: another answer, and a slow one.
"""

from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_LISTS = ("flags", "Features")
"""What the line is called on x86 and on arm64."""
_INSTRUCTIONS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})
"""Dot products of bytes into 32 bits; any of them will do."""


def int8_is_fast() -> bool:
    """Of this machine; False where it does not say."""
    try:
        return multiplies_bytes(_CPUINFO.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return False


def multiplies_bytes(cpuinfo: str) -> bool:
    """Whether every core listed has the instructions: a thread may run on any of them."""
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    cores = [set(features.split()) for name, _, features in lines if name.strip() in _LISTS]
    return bool(cores) and all(core & _INSTRUCTIONS for core in cores)
