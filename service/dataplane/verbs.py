"""The list of what the service can do: all that a protocol may rely on, wherever it is done."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

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
from service.errors import RecurError


class Verbs(Protocol):
    """`InProcess` does them here, `RemotePlane` has them done in another process."""

    def models(self) -> list[ModelInfo]: ...

    def model(self, ref: str) -> ModelInfo: ...

    async def predict(
        self,
        ref: str,
        inputs: Sequence[SequenceInput],
        *,
        call: Call,
        raw: bool = False,
        explain: bool = False,
        search: SearchRequest = DEFAULT_SEARCH,
    ) -> Predictions: ...

    async def feed(
        self,
        session_id: str,
        inputs: SequenceInput,
        *,
        call: Call,
        step: int | None = None,
        raw: bool = False,
    ) -> Feed: ...

    async def feed_many(
        self, chunks: Sequence[Chunk], *, call: Call
    ) -> list[Feed | RecurError]: ...

    def generate(
        self, ref: str, request: GenerateRequest, *, call: Call
    ) -> AsyncGenerator[list[GenerationEvent]]: ...

    def session_generate(
        self, session_id: str, request: GenerateRequest, *, call: Call, step: int | None = None
    ) -> AsyncGenerator[list[GenerationEvent]]: ...

    async def open_session(self, ref: str, request: OpenRequest, *, call: Call) -> SessionInfo: ...

    async def fork_session(
        self, session_id: str, *, call: Call, new_id: str | None = None
    ) -> SessionInfo: ...

    async def session(self, session_id: str, *, call: Call) -> SessionInfo: ...

    async def sessions(self, *, call: Call) -> list[SessionInfo]: ...

    async def end_session(self, session_id: str, *, call: Call) -> SessionInfo: ...
