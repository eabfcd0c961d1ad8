"""A processor is trusted with integers only where it says that it multiplies them."""

import pytest

from service.runtime.processor import int8_is_fast, multiplies_bytes

SKYLAKE = "fpu sse4_2 avx avx2 avx512f avx512dq avx512cd avx512bw avx512vl"
FAST = [
    f"{SKYLAKE} avx512_vnni",
    "fpu avx2 avx_vnni",
    f"{SKYLAKE} avx512_vnni amx_bf16 amx_tile amx_int8",
]


def x86(*cores: str) -> str:
    return "\n\n".join(
        f"processor\t: {number}\nmodel name\t: Any CPU avx_vnni\nflags\t\t: {flags}\nbugs\t\t: mds"
        for number, flags in enumerate(cores)
    )


@pytest.mark.parametrize("flags", FAST)
def test_x86_with_dot_products_of_bytes_is_fast(flags: str) -> None:
    assert multiplies_bytes(x86(flags, flags))


@pytest.mark.parametrize("flags", ["", "fpu sse4_2 avx avx2", SKYLAKE, "avx512_vnni_not"])
def test_x86_without_them_is_not(flags: str) -> None:
    assert not multiplies_bytes(x86(flags))


def test_one_core_without_them_is_enough_to_refuse() -> None:
    assert not multiplies_bytes(x86(FAST[0], SKYLAKE))


@pytest.mark.parametrize(
    ("features", "fast"),
    [("fp asimd aes crc32", False), ("fp asimd asimddp", True), ("fp asimd asimddp i8mm", True)],
)
def test_arm_says_it_in_its_own_words(features: str, fast: bool) -> None:
    assert multiplies_bytes(f"processor\t: 0\nFeatures\t: {features}\nCPU part\t: 0xd0c") is fast


@pytest.mark.parametrize("text", ["", "processor : 0", "\0\xff", "flags"])
def test_a_machine_that_does_not_say_is_not(text: str) -> None:
    assert not multiplies_bytes(text)


def test_this_machine_answers() -> None:
    assert int8_is_fast() in (True, False)
