"""What the service can do, in Python types: every protocol is a codec around this."""

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from service.dataplane import generating
from service.dataplane.bulk import feed_all
from service.dataplane.explaining import attention_output
from service.dataplane.feeding import Feeder
from service.dataplane.generating import GenerationEnd
from service.dataplane.number import check_number
from service.dataplane.opening import check_fork, check_opening, initial_state
from service.dataplane.raw import RawRoom
from service.dataplane.reading import (
    Ended,
    begun,
    predictions_of,
    read_all,
    read_one,
    read_to_end,
    row_of,
    start_state,
)
from service.dataplane.replay import digest_of, past_step
from service.dataplane.sources import translator
from service.dataplane.stages import of_those_left
from service.dataplane.translating import Wish, refuse_search, search_of, translate
from service.dataplane.types import (
    DEFAULT_SEARCH,
    Call,
    Chunk,
    DataPlaneLimits,
    Feed,
    GenerateRequest,
    GenerationDone,
    GenerationEvent,
    ModelInfo,
    OpenRequest,
    Prediction,
    Predictions,
    SearchRequest,
    SequenceInput,
    SessionInfo,
    TextPiece,
)
from service.dataplane.writing import write
from service.errors import (
    InvalidInput,
    RecurError,
    TooManyStreams,
)
from service.registry.registry import Registry
from service.registry.served_model import ServedModel
from service.sessions.checkout import Lease, checkout
from service.sessions.session import PastStep, Session, SessionState
from service.sessions.store.memory import MemoryStore
from service.telemetry.metrics import Metrics

_BYTES_PER_TOKEN = 200
"""About what a generated token takes in a reply: its text and some log probabilities."""


class DataPlane:
    """All the verbs. Errors are RecurError; nothing here knows a wire."""

    def __init__(
        self,
        registry: Registry,
        sessions: MemoryStore,
        *,
        limits: DataPlaneLimits,
        metrics: Metrics,
    ) -> None:
        self._registry = registry
        self._sessions = sessions
        self._limits = limits
        self._metrics = metrics
        self._feeder = Feeder(registry, sessions, limits=limits, metrics=metrics)
        self._num_streams = 0

    def models(self) -> list[ModelInfo]:
        """The current version of every served model, by name."""
        return [_model_info(model) for model in self._registry.models()]

    def model(self, ref: str) -> ModelInfo:
        """`name`, `name@version` or `name@latest`. Raises ModelNotFound."""
        return _model_info(self._registry.get(ref))

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
        """Each sequence from the zero state, or translated; one that fails, fails alone."""
        model = self._registry.get(ref)
        self._check_number(len(inputs), "inputs")
        attention = attention_output(model) if explain else None
        room = RawRoom(self._limits.max_raw_bytes)
        if (pair := translator(model)) is None:
            refuse_search(model, search)
            predicted = partial(
                _predicted, model, raw=room if raw else None, attention=attention, call=call
            )
        else:
            wish = Wish(search_of(pair, search, self._limits), room, raw, attention)
            predicted = partial(translate, pair, wish, call=call, metrics=self._metrics)
        named = [(f"inputs[{at}]", value) for at, value in enumerate(inputs)]
        read = await read_all(model, named, max_steps=self._limits.max_steps)
        told = await of_those_left(begun(model, named, read), predicted)
        return Predictions(model.manifest.name, model.manifest.version, told)

    async def generate(
        self, ref: str, request: GenerateRequest, *, call: Call
    ) -> AsyncGenerator[list[GenerationEvent]]:
        """Pieces as they become certain, then GenerationDone; each list is what was ready at once.

        Closing the iterator cancels.
        """
        model = self._registry.get(ref)
        with model.engine.hold(), self._stream():
            prompt = await self._prompt(model, request)
            if (pair := translator(model)) is None:
                events = self._go_on(model, prompt, request, call=call)
            else:
                events = write(
                    pair, prompt, request, limits=self._limits, call=call, metrics=self._metrics
                )
            async with aclosing(events):
                async for together in events:
                    yield together

    def open_session(self, ref: str, request: OpenRequest, *, call: Call) -> SessionInfo:
        """Raises ModelHasNoState, SessionExists, TooManySessions, InvalidInput."""
        model = self._registry.get(ref)
        manifest = model.manifest
        check_opening(
            model,
            request,
            max_ttl_seconds=self._sessions.config.max_ttl_seconds,
            max_metadata_bytes=self._limits.max_metadata_bytes,
        )
        if request.fork_of is None:
            state, step = initial_state(model, request.initial_state), 0
        else:
            source = self._sessions.get(request.fork_of, tenant=call.tenant)
            check_fork(model, source)
            state, step = source.state, source.step
        session = self._sessions.open(
            tenant=call.tenant,
            model=manifest.name,
            version=manifest.version,
            state=state,
            session_id=request.session_id,
            ttl_seconds=request.ttl_seconds,
            step=step,
            metadata=request.metadata,
        )
        return self._session_info(session)

    async def feed(
        self,
        session_id: str,
        inputs: SequenceInput,
        *,
        call: Call,
        step: int | None = None,
        raw: bool = False,
    ) -> Feed:
        """Advance the session by `inputs`; commits, or leaves it untouched."""
        return await self._feeder.feed(Chunk(session_id, inputs, step, raw), call)

    async def feed_many(self, chunks: Sequence[Chunk], *, call: Call) -> list[Feed | RecurError]:
        """Each chunk as `feed` would; those whose sessions are free step together.

        Chunks of one session run in their order. One that fails, fails alone.
        """
        self._check_number(len(chunks), "steps")
        return await feed_all(self._feeder, chunks, call)

    async def session_generate(
        self, session_id: str, request: GenerateRequest, *, call: Call, step: int | None = None
    ) -> AsyncGenerator[list[GenerationEvent]]:
        """Go on from the session's state; commits at the end, or leaves it untouched.

        The session then stands after every token sampled, those of a stop string included.
        """
        if request.n != 1:
            raise InvalidInput(
                "a session goes on in one way: fork it for others", param="n", details={"max": 1}
            )
        lease_of = checkout(self._sessions, session_id, tenant=call.tenant, deadline=call.deadline)
        async with lease_of as lease:
            session = lease.session
            model = self._registry.pinned(session.model, session.version)
            prompt = await self._prompt(model, request)
            asked = repr(replace(request, prompt=None)).encode()
            digest = await digest_of(b"generate", asked, prompt)
            past = past_step(session, step, digest, self._metrics)
            if past is not None:
                assert isinstance(past.reply, GenerationDone), "the digest is that of a generation"
                pieces = [
                    TextPiece(choice.index, choice.text, choice.logprobs or ())
                    for choice in past.reply.choices
                ]
                yield [*pieces, replace(past.reply, replayed=True)]
                return
            plan = generating.plan(model, request, prompt, self._limits)
            with self._stream():
                events = generating.run(
                    plan,
                    session.state,
                    call=call,
                    metrics=self._metrics,
                    reused_steps=session.step,
                )
                async with aclosing(events):
                    async for event in events:
                        if isinstance(event, GenerationEnd):
                            yield [self._commit_generation(lease, event, digest)]
                        else:
                            yield [*event]

    def session(self, session_id: str, *, call: Call) -> SessionInfo:
        return self._session_info(self._sessions.get(session_id, tenant=call.tenant))

    def sessions(self, *, call: Call) -> list[SessionInfo]:
        """The caller's live sessions, oldest first."""
        return [self._session_info(session) for session in self._sessions.of_tenant(call.tenant)]

    def fork_session(
        self, session_id: str, *, call: Call, new_id: str | None = None
    ) -> SessionInfo:
        """A copy that goes its own way, from the last committed step."""
        source = self._sessions.get(session_id, tenant=call.tenant)
        session = self._sessions.open(
            tenant=source.tenant,
            model=source.model,
            version=source.version,
            state=source.state,
            session_id=new_id,
            ttl_seconds=source.ttl_seconds,
            step=source.step,
            metadata=dict(source.metadata),
        )
        return self._session_info(session)

    def end_session(self, session_id: str, *, call: Call) -> SessionInfo:
        """Ends it; a step still under way commits nothing. The info is its last."""
        session = self._sessions.get(session_id, tenant=call.tenant)
        info = self._session_info(session)
        self._sessions.end(session, "ended")
        return info

    def _commit_generation(self, lease: Lease, end: GenerationEnd, digest: bytes) -> GenerationDone:
        lease.check_live()
        session = lease.session
        before, expires_at = session.step, lease.next_expiry()
        done = end.done
        # The session as it will stand: the reply that tells is committed with the state.
        info = replace(
            self._session_info(session),
            step=before + end.num_steps,
            expires_at=expires_at,
            busy=False,
            state_norms=self._norms(session, end.state),
        )
        reply = GenerationDone(done.model, done.version, done.choices, done.usage, info)
        lease.commit(
            end.state,
            steps=end.num_steps,
            expires_at=expires_at,
            past=PastStep(before, digest, reply, _BYTES_PER_TOKEN * end.num_steps),
        )
        return reply

    def _check_number(self, number: int, param: str) -> None:
        """Of the sequences in one request."""
        if not number:
            raise InvalidInput("at least one sequence", param=param, details={"min": 1})
        check_number(number, self._limits.max_sequences, param)

    async def _go_on(
        self,
        model: ServedModel,
        prompt: NDArray[np.int64],
        request: GenerateRequest,
        *,
        call: Call,
    ) -> AsyncGenerator[list[GenerationEvent]]:
        plan = generating.plan(model, request, prompt, self._limits)
        events = generating.run(plan, start_state(model), call=call, metrics=self._metrics)
        async with aclosing(events):
            async for event in events:
                yield [event.done] if isinstance(event, GenerationEnd) else [*event]

    async def _prompt(self, model: ServedModel, request: GenerateRequest) -> NDArray[np.int64]:
        """What the text goes on from, or of an encoder-decoder what it is written for."""
        if model.encoder is None:
            generating.text_model(model)
            if request.prompt is None or len(request.prompt) == 0:
                return np.zeros(0, np.int64)
        if request.prompt is None:
            raise InvalidInput(
                f"{model.manifest.name} writes a text for the one that it is given", param="prompt"
            )
        return await read_one(model, request.prompt, "prompt", max_steps=self._limits.max_steps)

    def _session_info(self, session: Session) -> SessionInfo:
        return SessionInfo(
            session_id=session.id,
            model=session.model,
            version=session.version,
            step=session.step,
            expires_at=session.expires_at,
            created_at=session.created_at,
            busy=session.busy,
            state_bytes=session.state.num_bytes,
            state_norms=self._norms(session, session.state),
            metadata=session.metadata,
        )

    def _norms(self, session: Session, state: SessionState) -> dict[str, float]:
        """The Euclidean norm of each tensor, by its input's name."""
        model = self._registry.pinned(session.model, session.version)
        return {
            spec.input: float(np.linalg.norm(tensor))
            for spec, tensor in zip(model.manifest.graph.state, state.tensors, strict=True)
        }

    @contextmanager
    def _stream(self) -> Generator[None]:
        """Counts one open generation. Raises TooManyStreams."""
        if self._num_streams >= self._limits.max_streams:
            self._metrics.shed.labels(reason="too_many_streams").inc()
            raise TooManyStreams(
                f"{self._num_streams} generations are open; "
                f"RECUR_MAX_STREAMS allows {self._limits.max_streams}",
                details={"limit": self._limits.max_streams},
            )
        self._num_streams += 1
        try:
            yield
        finally:
            self._num_streams -= 1


async def _predicted(
    model: ServedModel,
    sequences: list[NDArray[Any]],
    *,
    raw: RawRoom | None,
    attention: str | None,
    call: Call,
) -> list[Prediction | RecurError]:
    """Each of `sequences`, as the model takes them, from the zero state.

    `raw` is the room for all their raw outputs, where those are wanted. Raises TooLarge.
    """
    if raw is not None:
        for steps in sequences:
            raw.take(model.manifest.graph.outputs, len(steps), param="raw")
    start, keep = start_state(model), raw is not None
    rows = [row_of(model, steps, start, raw=keep, attention=attention) for steps in sequences]
    ends = await read_to_end(model, rows, call)
    ended = [
        end if isinstance(end, RecurError) else Ended(end, steps, start)
        for steps, end in zip(sequences, ends, strict=True)
    ]
    return await of_those_left(ended, partial(predictions_of, model))


def _model_info(model: ServedModel) -> ModelInfo:
    verified = model.verified
    return ModelInfo(
        model.manifest,
        verified.artifact.digest,
        verified.device,
        model.loaded_at,
        verified.probe_difference,
        verified.precision,
    )
