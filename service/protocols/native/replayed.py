"""The header that tells a retry that its step had been made already."""

_HEADER = "Recur-Replayed"

REPLAYED_HEADERS = {_HEADER: "`true`: this step was answered before, and ran once"}
"""For the document."""


def replayed(was_replayed: bool) -> dict[str, str] | None:
    return {_HEADER: "true"} if was_replayed else None
