"""API key to tenant. Keys are known by their hash only."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping

from service.errors import Unauthenticated

PUBLIC = "public"
"""The one tenant of a service without keys."""


class Authenticator:
    """`keys` are pairs of a tenant's name and the sha256, in hexadecimal, of one of its keys.

    With no keys the service is open, and everyone is the tenant `public`.
    """

    def __init__(self, keys: Iterable[tuple[str, str]] = ()) -> None:
        self._keys = tuple((tenant, digest.lower().encode()) for tenant, digest in keys)

    def tenant(self, headers: Mapping[bytes, bytes]) -> str:
        """Whose key the request carries. Raises Unauthenticated."""
        if not self._keys:
            return PUBLIC
        key = _key(headers)
        if key is None:
            raise Unauthenticated(
                "this service needs an API key: send it as 'Authorization: Bearer <key>'"
            )
        digest = hashlib.sha256(key.encode()).hexdigest().encode()
        # Every digest is compared, in full: the time tells nothing about which one was near.
        owners = [tenant for tenant, known in self._keys if hmac.compare_digest(digest, known)]
        if not owners:
            raise Unauthenticated("this API key is not known")
        return owners[0]


def _key(headers: Mapping[bytes, bytes]) -> str | None:
    """`headers` by lower-case name."""
    scheme, _, credentials = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer" or not credentials.strip():
        credentials = headers.get(b"x-api-key", b"")
    return credentials.strip().decode("latin-1") or None
