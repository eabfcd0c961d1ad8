"""Taking a session out: in turn, exclusively, and without a trace unless it commits."""

import asyncio
import time

import pytest

from service.errors import (
    DeadlineExceeded,
    SessionEnded,
    SessionExpired,
    SessionLost,
    SessionNotFound,
)
from service.sessions.checkout import Lease, checkout
from service.sessions.session import PastStep, Session
from tests.service.sessions.stores import STATE_BYTES, Setup, past, setup, state


async def step(it: Setup, *, value: float = 1.0, deadline: float | None = None) -> None:
    """One step of the session `mine` that succeeds."""
    async with checkout(it.store, "mine", tenant="one", deadline=deadline) as lease:
        commit(lease, value)


def commit(lease: Lease, value: float) -> None:
    lease.commit(
        state(value), steps=1, expires_at=lease.next_expiry(), past=past(lease.session.step)
    )


async def hold(it: Setup, begun: asyncio.Event, go_on: asyncio.Event) -> None:
    async with checkout(it.store, "mine", tenant="one") as lease:
        begun.set()
        await go_on.wait()
        commit(lease, 7.0)


class Held:
    """A step of `mine` that is under way until it is let go."""

    def __init__(self, it: Setup) -> None:
        self._begun, self._go_on = asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(hold(it, self._begun, self._go_on))

    async def begun(self) -> "Held":
        await self._begun.wait()
        return self

    async def end(self) -> None:
        self._go_on.set()
        await self._task

    async def leave(self) -> None:
        self._task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self._task


async def waiting(*tasks: asyncio.Task[None]) -> None:
    """Until the tasks have run as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


def unmoved(session: Session) -> bool:
    return session.step == 0 and session.state.tensors[0][0] == 0 and not session.past


async def test_a_commit_moves_everything_at_once() -> None:
    it = setup()
    session = it.open("mine")
    it.clock.pass_seconds(30)
    await step(it, value=5.0)
    assert session.step == 1
    assert session.state.tensors[0][0] == 5
    assert session.expires_at == it.clock() + 100
    assert session.past_step(0) is not None
    assert not session.busy


async def test_unknown_ids_are_refused_before_anything_waits() -> None:
    it = setup()
    with pytest.raises(SessionNotFound):
        await step(it)


async def test_a_failed_step_leaves_everything_as_it_was() -> None:
    it = setup()
    session = it.open("mine")
    with pytest.raises(ZeroDivisionError):
        async with checkout(it.store, "mine", tenant="one"):
            raise ZeroDivisionError
    assert unmoved(session)
    assert not session.busy
    await step(it)
    assert session.step == 1


async def test_kept_replies_count_among_the_bytes_until_the_session_ends() -> None:
    it = setup(replay_bytes=250)
    session = it.open("mine")
    for _ in range(4):
        async with checkout(it.store, "mine", tenant="one") as lease:
            reply = PastStep(session.step, b"digest", "reply", num_bytes=100)
            lease.commit(state(), steps=1, expires_at=lease.next_expiry(), past=reply)
    assert [kept.step for kept in session.past] == [2, 3]
    assert it.metric("session_bytes") == STATE_BYTES + 200
    it.store.end(session, "ended")
    assert it.metric("session_bytes") == 0


async def test_the_replay_window_keeps_the_last_replies() -> None:
    it = setup(replay_window=2)
    session = it.open("mine")
    for _ in range(3):
        await step(it)
    assert session.past_step(0) is None
    assert [kept.reply for kept in session.past] == ["reply to 1", "reply to 2"]


async def test_a_busy_session_does_not_expire_and_its_clock_starts_anew_after_the_step() -> None:
    it = setup()
    session = it.open("mine")
    it.clock.pass_seconds(99)
    held = await Held(it).begun()
    it.clock.pass_seconds(1000)
    it.store.sweep()
    assert it.store.get("mine", tenant="one") is session
    await held.end()
    assert session.expires_at == it.clock() + 100


async def test_a_step_that_fails_takes_nothing_from_the_time_that_was_left() -> None:
    it = setup()
    it.open("mine")
    it.clock.pass_seconds(40)
    held = await Held(it).begun()
    it.clock.pass_seconds(1000)
    await held.leave()
    it.clock.pass_seconds(59)
    session = it.store.get("mine", tenant="one")
    assert unmoved(session)
    it.clock.pass_seconds(1)
    with pytest.raises(SessionExpired):
        it.store.get("mine", tenant="one")


async def test_a_failure_that_follows_a_commit_takes_no_time_either() -> None:
    it = setup()
    session = it.open("mine")
    first = await Held(it).begun()
    second = Held(it)
    it.clock.pass_seconds(1000)
    await first.end()
    await second.begun()
    it.clock.pass_seconds(1000)
    await second.leave()
    assert session.expires_at == it.clock() + 100


async def test_waiting_that_is_given_up_while_another_runs_takes_no_time() -> None:
    it = setup()
    session = it.open("mine")
    it.clock.pass_seconds(10)
    first = await Held(it).begun()
    second = asyncio.create_task(step(it))
    await waiting(second)
    it.clock.pass_seconds(500)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert session.num_users == 1
    it.clock.pass_seconds(500)
    await first.leave()
    assert session.expires_at == it.clock() + 90


async def test_turns_come_in_order_of_arrival() -> None:
    it = setup()
    session = it.open("mine")
    first = await Held(it).begun()
    order: list[int] = []

    async def note(place: int) -> None:
        async with checkout(it.store, "mine", tenant="one") as lease:
            await asyncio.sleep(0)
            order.append(place)
            commit(lease, place)

    tasks = [asyncio.create_task(note(place)) for place in range(10)]
    await waiting(*tasks)
    assert session.num_users == 11
    tasks[4].cancel()
    await first.end()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert session.step == 10
    assert not session.busy


async def test_two_steps_are_never_inside_at_once() -> None:
    it = setup()
    it.open("mine")
    inside = 0

    async def enter() -> None:
        nonlocal inside
        async with checkout(it.store, "mine", tenant="one"):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(enter() for _ in range(20)))


async def test_a_deadline_that_passes_in_the_line_gives_the_place_up() -> None:
    it = setup()
    session = it.open("mine")
    first = await Held(it).begun()
    with pytest.raises(DeadlineExceeded):
        await step(it, deadline=time.monotonic() + 0.01)
    assert session.num_users == 1
    await first.end()
    await step(it)
    assert session.step == 2


async def test_a_deadline_in_the_past_still_fails_when_the_session_is_taken() -> None:
    it = setup()
    it.open("mine")
    first = await Held(it).begun()
    with pytest.raises(DeadlineExceeded):
        await step(it, deadline=time.monotonic() - 1)
    await first.end()


async def test_a_step_that_waits_is_told_that_its_session_was_ended() -> None:
    it = setup()
    session = it.open("mine")
    first = await Held(it).begun()
    second = asyncio.create_task(step(it))
    await waiting(second)
    it.store.end(session, "ended")
    with pytest.raises(SessionEnded):
        await first.end()
    with pytest.raises(SessionEnded):
        await second
    assert not session.busy


async def test_a_step_that_waits_never_moves_a_new_session_of_the_same_id() -> None:
    it = setup()
    old = it.open("mine")
    first = await Held(it).begun()
    second = asyncio.create_task(step(it))
    await waiting(second)
    it.store.end(old, "ended")
    new = it.open("mine")
    with pytest.raises(SessionEnded):
        await first.end()
    with pytest.raises(SessionEnded):
        await second
    assert unmoved(new)
    assert not new.busy


async def test_a_commit_after_the_end_is_refused_with_the_reason() -> None:
    it = setup()
    session = it.open("mine")
    held = await Held(it).begun()
    it.store.end(session, "lost")
    with pytest.raises(SessionLost):
        await held.end()
    assert unmoved(session)
    assert it.metric("session_bytes") == 0


async def test_bytes_follow_the_sessions() -> None:
    it = setup()
    session = it.open("mine")
    await step(it)
    assert it.metric("session_bytes") == STATE_BYTES
    it.store.end(session, "ended")
    assert it.metric("session_bytes") == 0
