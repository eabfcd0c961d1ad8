"""RESULTS.md: prose by hand, and between two marks what a command wrote."""

from pathlib import Path

FOLDER = Path(__file__).parent
PICTURE = FOLDER / "throughput.png"
_PAGE = FOLDER / "RESULTS.md"


def write_section(name: str, text: str, page: Path = _PAGE) -> None:
    """Replace what stands between the marks of `name`."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, found, rest = page.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    assert found, f"{page} has no {begin!r}"
    assert ended, f"{page} has no {end!r}"
    page.write_text(f"{before}{begin}\n{text.strip()}\n\n{end}{after}")
