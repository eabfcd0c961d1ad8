"""The header that tells a retry that its step had been made already."""

from service.protocols.reply import Headers

_HEADER = "Recur-Replayed"
_REPLAYED: Headers = ((_HEADER.lower().encode(), b"true"),)

REPLAYED_HEADERS = {_HEADER: "`true`: this step was answered before, and ran once"}
"""For the document."""


def replayed(was_replayed: bool) -> Headers:
    return _REPLAYED if was_replayed else ()
