"""The turn: one holder, in order of arrival, and never lost with one who left."""

import asyncio
import time

import pytest

from service.sessions.turn import Turn


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def waiting(turn: Turn, count: int, got: list[int]) -> list[asyncio.Task[None]]:
    async def wait(place: int) -> None:
        await turn.wait(None)
        got.append(place)

    return [asyncio.create_task(wait(place)) for place in range(count)]


async def test_a_free_turn_is_taken_at_once_and_a_taken_one_is_not():
    turn = Turn()
    assert turn.take()
    assert not turn.take()
    turn.release()
    assert turn.take()


async def test_it_goes_from_hand_to_hand_in_order_of_arrival():
    turn, got = Turn(), list[int]()
    turn.take()
    tasks = waiting(turn, 3, got)
    await settle()
    for count in range(3):
        assert got == list(range(count))
        turn.release()
        assert not turn.take()
        await settle()
    assert got == [0, 1, 2]
    await asyncio.gather(*tasks)
    turn.release()
    assert turn.take()


async def test_who_is_cancelled_while_waiting_leaves_the_line():
    turn, got = Turn(), list[int]()
    turn.take()
    tasks = waiting(turn, 3, got)
    await settle()
    tasks[0].cancel()
    tasks[1].cancel()
    await settle()
    turn.release()
    await settle()
    assert got == [2]


async def test_a_turn_that_comes_to_one_who_is_leaving_goes_on_to_the_next():
    turn, got = Turn(), list[int]()
    turn.take()
    tasks = waiting(turn, 2, got)
    await settle()
    turn.release()
    tasks[0].cancel()  # it has been handed over, and the task has not run since
    await settle()
    assert got == [1]


async def test_a_release_between_a_cancellation_and_its_arrival_loses_nothing():
    turn, got = Turn(), list[int]()
    turn.take()
    tasks = waiting(turn, 2, got)
    await settle()
    tasks[0].cancel()
    turn.release()
    await settle()
    assert got == [1]
    turn.release()
    assert turn.take()


async def test_a_deadline_gives_the_place_up():
    turn = Turn()
    turn.take()
    for seconds in (-1.0, 0.01):
        with pytest.raises(TimeoutError):
            await turn.wait(time.monotonic() + seconds)
    turn.release()
    assert turn.take()
