"""Keys: who is let in, as whom."""

import hashlib

import pytest

from service.errors import Unauthenticated
from service.protocols.auth import Authenticator
from tests.service.protocols.fakes import FakeDataPlane
from tests.service.protocols.serving import client_of, make_app


def sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def sent(headers: dict[str, str]) -> dict[bytes, bytes]:
    """As they come from a client."""
    return {name.encode(): value.encode("latin-1") for name, value in headers.items()}


KEYS = (("acme", sha256("a-key")), ("zenith", sha256("z-key").upper()), ("acme", sha256("new")))


@pytest.mark.parametrize(
    ("headers", "tenant"),
    [
        ({"authorization": "Bearer a-key"}, "acme"),
        ({"authorization": "bearer   z-key "}, "zenith"),
        ({"x-api-key": "new"}, "acme"),
        ({"authorization": "Basic eDp5", "x-api-key": "z-key"}, "zenith"),
    ],
)
def test_a_known_key_is_its_tenant(headers: dict[str, str], tenant: str):
    assert Authenticator(KEYS).tenant(sent(headers)) == tenant


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer wrong"},
        {"authorization": "a-key"},
        {"authorization": f"Bearer {sha256('a-key')}"},
        {"x-api-key": ""},
        {"x-api-key": "ä"},
    ],
)
def test_no_key_and_an_unknown_key_are_refused(headers: dict[str, str]):
    with pytest.raises(Unauthenticated):
        Authenticator(KEYS).tenant(sent(headers))


def test_without_keys_everyone_is_the_public():
    assert Authenticator().tenant({b"authorization": b"Bearer whatever"}) == "public"


async def test_every_v1_route_asks_for_a_key_and_the_others_do_not():
    app = make_app(FakeDataPlane(), auth=Authenticator(KEYS))
    async with client_of(app) as client:
        document = (await client.get("/openapi.json")).json()
        for path, operations in document["paths"].items():
            for method in operations:
                reply = await client.request(method, path)
                if path.startswith("/v1/"):
                    assert reply.status_code == 401, path
                    assert reply.headers["www-authenticate"] == "Bearer"
                    assert reply.json()["error"]["type"] == "authentication_error"
                else:
                    assert reply.status_code == 200, path


async def test_a_session_of_another_tenant_is_unknown():
    app = make_app(FakeDataPlane(), auth=Authenticator(KEYS))
    acme, zenith = {"X-Api-Key": "a-key"}, {"X-Api-Key": "z-key"}
    async with client_of(app) as client:
        opened = await client.post("/v1/models/sums/sessions", headers=acme)
        path = opened.headers["location"]
        assert (await client.get(path, headers=acme)).status_code == 200
        assert (await client.get(path, headers=zenith)).status_code == 404
