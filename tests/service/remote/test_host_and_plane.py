"""Both ends of a real socket pair: what a front asks is done once, answered, or let go."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.dataplane.types import Call, GenerateRequest, OpenRequest, SearchRequest
from service.errors import InvalidInput, ModelFailed, Unavailable
from service.remote.host import MAX_AHEAD, Host
from service.remote.link import Link
from service.remote.messages import Message, Seen, Status
from service.remote.plane import RemotePlane

CALL = Call("one", "test")


@dataclass
class Doing:
    """Verbs that a test can hold, break and count."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    given: int = 0
    seen: list[tuple[str, str, str, float]] = field(default_factory=list)

    async def predict(
        self,
        ref: str,
        inputs: Any,
        *,
        call: Call,
        raw: bool,
        explain: bool,
        search: SearchRequest,
    ) -> Any:
        if ref == "bad":
            raise InvalidInput("no", param="inputs[0]", details={"max": 1})
        if ref == "broken":
            raise ZeroDivisionError
        if ref == "held":
            self.began.set()
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return (ref, inputs, call, raw, explain, search)

    async def generate(
        self, ref: str, request: GenerateRequest, *, call: Call
    ) -> AsyncGenerator[list[Any]]:
        try:
            for number in range(request.max_tokens or 0):
                self.given += 1
                yield [number]
            if ref == "bad":
                raise InvalidInput("no")
            if ref == "held":
                self.began.set()
                await self.gate.wait()
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise


@dataclass
class Pair:
    plane: RemotePlane
    host: Host
    doing: Doing
    statuses: list[Status]


@asynccontextmanager
async def linked() -> AsyncIterator[Pair]:
    doing, plane = Doing(), RemotePlane()
    statuses: list[Status] = []

    def receive(messages: list[Message]) -> None:
        for message in messages:
            if isinstance(message, Status):
                statuses.append(message)
            else:
                plane.receive(message)

    host = Host(
        verbs={"predict": doing.predict},
        streams={"generate": doing.generate},
        observe=lambda *seen: doing.seen.append(seen),
        status=lambda: Status("ready", {"m": "ready"}, []),
        on_lost=lambda _: None,
    )
    front = plane.link = Link(on_messages=receive, on_lost=plane.lose)
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    for end, link in ((ours, host.link), (theirs, front)):
        end.setblocking(False)
        await loop.create_connection(lambda link=link: link, sock=end)
    try:
        yield Pair(plane, host, doing, statuses)
    finally:
        host.link.close()
        front.close()
        await asyncio.sleep(0)


async def test_what_is_asked_is_done_and_answered() -> None:
    async with linked() as pair:
        search = SearchRequest(beam_width=4, length_penalty=0.6)
        asks = [
            pair.plane.predict("m", [n], call=CALL, raw=True, explain=n > 50, search=search)
            for n in range(100)
        ]
        answers = [("m", [n], CALL, True, n > 50, search) for n in range(100)]
        assert await asyncio.gather(*asks) == answers
        assert pair.host.num_asked == 0


async def test_an_error_is_raised_where_it_was_asked() -> None:
    async with linked() as pair:
        with pytest.raises(InvalidInput) as caught:
            await pair.plane.predict("bad", [], call=CALL)
        assert (caught.value.param, caught.value.details) == ("inputs[0]", {"max": 1})


async def test_what_nobody_foresaw_fails_its_caller_and_nobody_else() -> None:
    async with linked() as pair:
        with pytest.raises(ModelFailed):
            await pair.plane.predict("broken", [], call=CALL)
        assert (await pair.plane.predict("m", [], call=CALL))[0] == "m"


async def test_a_caller_who_leaves_ends_the_work() -> None:
    async with linked() as pair:
        ask = asyncio.create_task(pair.plane.predict("held", [], call=CALL))
        await pair.doing.began.wait()
        ask.cancel()
        await pair.doing.cancelled.wait()
        assert ask.cancelled()


async def test_a_stream_comes_whole_and_in_order() -> None:
    async with linked() as pair:
        request = GenerateRequest(max_tokens=1000)
        events = [e async for some in pair.plane.generate("m", request, call=CALL) for e in some]
        assert events == list(range(1000))


async def test_a_stream_that_breaks_off_gives_what_came_and_then_its_error() -> None:
    async with linked() as pair:
        events = pair.plane.generate("bad", GenerateRequest(max_tokens=3), call=CALL)
        came: list[Any] = []
        while len(came) < 3:
            came += await anext(events)
        with pytest.raises(InvalidInput):
            await anext(events)
        assert came == [0, 1, 2]


async def test_a_stream_that_is_closed_ends_the_work() -> None:
    async with linked() as pair:
        events = pair.plane.generate("held", GenerateRequest(max_tokens=3), call=CALL)
        await anext(events)
        await pair.doing.began.wait()
        await events.aclose()
        await pair.doing.cancelled.wait()


async def test_a_stream_waits_for_a_reader_that_is_slow() -> None:
    async with linked() as pair:
        events = pair.plane.generate("m", GenerateRequest(max_tokens=10_000), call=CALL)
        first = await anext(events)
        for _ in range(200):  # the host could give thousands meanwhile
            await asyncio.sleep(0)
        assert pair.doing.given <= len(first) + MAX_AHEAD + 1
        await events.aclose()


async def test_a_front_learns_how_the_service_stands_and_tells_what_it_saw() -> None:
    async with linked() as pair:
        pair.host.announce()
        assert pair.plane.link is not None
        pair.plane.link.send(Seen("native", "m", "ok", 0.5))
        await pair.plane.predict("m", [], call=CALL)  # messages keep their order
        assert pair.doing.seen == [("native", "m", "ok", 0.5)]
        assert pair.statuses[0].readiness == {"m": "ready"}


async def test_without_the_other_end_nothing_hangs() -> None:
    async with linked() as pair:
        held = asyncio.create_task(pair.plane.predict("held", [], call=CALL))
        stream = pair.plane.generate("held", GenerateRequest(max_tokens=1), call=CALL)
        await anext(stream)
        await pair.doing.began.wait()
        pair.host.link.close()
        with pytest.raises(Unavailable):
            await held
        with pytest.raises(Unavailable):
            await anext(stream)
        with pytest.raises(Unavailable):
            await pair.plane.open_session("m", OpenRequest(), call=CALL)
        await pair.doing.cancelled.wait()
