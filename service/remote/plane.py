"""The data plane as a front process sees it: every verb is asked of the engine's process."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from service.dataplane.types import (
    DEFAULT_SEARCH,
    Call,
    Chunk,
    Feed,
    GenerateRequest,
    GenerationEvent,
    ModelInfo,
    OpenRequest,
    Predictions,
    SearchRequest,
    SequenceInput,
    SessionInfo,
)
from service.errors import ModelNotFound, RecurError, Unavailable
from service.registry.disk import ModelRef
from service.remote.link import Link
from service.remote.messages import (
    Ask,
    Cancel,
    Events,
    Failure,
    Message,
    Result,
    Taken,
)

_Waiter = asyncio.Future[Any]


class RemotePlane:
    """Has the verbs of `DataPlane`. Which models are served it knows from the last `Status`."""

    def __init__(self) -> None:
        self.link: Link | None = None
        self._numbers = itertools.count()
        self._waiters: dict[int, _Waiter] = {}
        self._streams: dict[int, _Stream] = {}
        self._models: dict[str, ModelInfo] = {}

    def serve(self, models: list[ModelInfo]) -> None:
        """From now on these are the models."""
        self._models = {info.manifest.name: info for info in models}

    def receive(self, message: Message) -> None:
        """A Result, Failure or Events; of what was cancelled meanwhile it is dropped."""
        match message:
            case Result(number, value):
                if (waiter := self._waiters.pop(number, None)) is not None and not waiter.done():
                    waiter.set_result(value)
            case Failure(number, error):
                if (waiter := self._waiters.pop(number, None)) is not None and not waiter.done():
                    waiter.set_exception(error)
                elif (stream := self._streams.get(number)) is not None:
                    stream.end(error)
            case Events(number, events):
                if (stream := self._streams.get(number)) is not None:
                    stream.put(events)
            case _:
                raise AssertionError(f"no answer: {message}")

    def lose(self) -> None:
        """The engine's process is gone, and with it everything under way."""
        error = Unavailable("the engine's process ended before the answer")
        for waiter in self._waiters.values():
            if not waiter.done():
                waiter.set_exception(error)
        for stream in self._streams.values():
            stream.end(error)
        self._waiters.clear()

    def models(self) -> list[ModelInfo]:
        return [self._models[name] for name in sorted(self._models)]

    def model(self, ref: str) -> ModelInfo:
        wanted = ModelRef.parse(ref)
        info = self._models.get(wanted.name)
        if info is None or wanted.version not in (None, info.manifest.version):
            raise ModelNotFound(f"no model {ref!r}", param="model")
        return info

    async def predict(
        self,
        ref: str,
        inputs: Sequence[SequenceInput],
        *,
        call: Call,
        raw: bool = False,
        explain: bool = False,
        search: SearchRequest = DEFAULT_SEARCH,
    ) -> Predictions:
        return await self._ask(
            "predict", ref, inputs, call=call, raw=raw, explain=explain, search=search
        )

    async def feed(
        self,
        session_id: str,
        inputs: SequenceInput,
        *,
        call: Call,
        step: int | None = None,
        raw: bool = False,
    ) -> Feed:
        return await self._ask("feed", session_id, inputs, call=call, step=step, raw=raw)

    async def feed_many(self, chunks: Sequence[Chunk], *, call: Call) -> list[Feed | RecurError]:
        return await self._ask("feed_many", chunks, call=call)

    async def open_session(self, ref: str, request: OpenRequest, *, call: Call) -> SessionInfo:
        return await self._ask("open_session", ref, request, call=call)

    async def fork_session(
        self, session_id: str, *, call: Call, new_id: str | None = None
    ) -> SessionInfo:
        return await self._ask("fork_session", session_id, call=call, new_id=new_id)

    async def session(self, session_id: str, *, call: Call) -> SessionInfo:
        return await self._ask("session", session_id, call=call)

    async def sessions(self, *, call: Call) -> list[SessionInfo]:
        return await self._ask("sessions", call=call)

    async def end_session(self, session_id: str, *, call: Call) -> SessionInfo:
        return await self._ask("end_session", session_id, call=call)

    def generate(
        self, ref: str, request: GenerateRequest, *, call: Call
    ) -> AsyncGenerator[list[GenerationEvent]]:
        return self._stream("generate", ref, request, call=call)

    def session_generate(
        self, session_id: str, request: GenerateRequest, *, call: Call, step: int | None = None
    ) -> AsyncGenerator[list[GenerationEvent]]:
        return self._stream("session_generate", session_id, request, call=call, step=step)

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """All measurements of the service, and the media type of their text."""
        return await self._ask("exposition", accept)

    async def _ask(self, verb: str, *args: Any, **named: Any) -> Any:
        link = self._open_link()
        number = next(self._numbers)
        waiter = self._waiters[number] = link.loop.create_future()
        link.send(Ask(number, verb, args, named))
        try:
            return await waiter
        except asyncio.CancelledError:
            self._waiters.pop(number, None)
            link.send(Cancel(number))
            raise

    async def _stream(self, verb: str, *args: Any, **named: Any) -> AsyncGenerator[list[Any]]:
        link = self._open_link()
        number = next(self._numbers)
        stream = self._streams[number] = _Stream(link.loop)
        link.send(Ask(number, verb, args, named))
        try:
            while lists := await stream.take():
                link.send(Taken(number, len(lists)))
                yield [event for events in lists for event in events]
        finally:
            del self._streams[number]
            if not stream.ended:
                link.send(Cancel(number))

    def _open_link(self) -> Link:
        if self.link is None or self.link.lost:
            raise Unavailable("the engine's process is not there")
        return self.link


class _Stream:
    """Lists of events that came and were not taken yet."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.ended = False
        self._lists: list[list[Any]] = []
        self._error: RecurError | None = None
        self._waiter: _Waiter | None = None

    def put(self, events: list[Any]) -> None:
        if events:
            self._lists.append(events)
            self._wake()
        else:
            self.end(None)

    def end(self, error: RecurError | None) -> None:
        self.ended = True
        self._error = error
        self._wake()

    async def take(self) -> list[list[Any]]:
        """At least one list; none at the end. Raises what broke the stream off."""
        while not self._lists and not self.ended:
            self._waiter = self._loop.create_future()
            await self._waiter
        if not self._lists and self._error is not None:
            raise self._error
        lists, self._lists = self._lists, []
        return lists

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
