"""Many chunks in one request. Those whose sessions are free go to their engines together.

A chunk whose session is busy waits for it alone: nobody else's step is late because of it, and
two requests that want the same sessions cannot wait for each other for ever.
"""

import asyncio
from collections.abc import Sequence

from service.dataplane.feeding import Feeder, Feeding
from service.dataplane.reading import ends_of, predictions_of, read_all
from service.dataplane.types import Call, Chunk, Feed
from service.engine.collector import Collector
from service.engine.continuations import Finished
from service.errors import RecurError
from service.registry.served_model import ServedModel
from service.sessions.checkout import Lease


async def feed_all(feeder: Feeder, chunks: Sequence[Chunk], call: Call) -> list[Feed | RecurError]:
    """Chunks of one session run in their order. One that fails, fails alone."""
    bulk = _Bulk(feeder, chunks, call)
    try:
        await bulk.run()
    finally:
        await bulk.close()
    return [bulk.results[place] for place in range(len(chunks))]


class _Bulk:
    def __init__(self, feeder: Feeder, chunks: Sequence[Chunk], call: Call) -> None:
        self.results: dict[int, Feed | RecurError] = {}
        self._feeder = feeder
        self._chunks = chunks
        self._call = call
        self._room = feeder.room()
        self._waiting: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        lines: dict[str, list[int]] = {}
        for place, chunk in enumerate(self._chunks):
            lines.setdefault(chunk.session_id, []).append(place)
        while lines:
            taken: dict[int, Lease] = {}
            try:
                self._take(lines, taken)
                await self._step(taken)
            finally:
                for lease in taken.values():
                    lease.release()
            lines = {name: line for name, line in lines.items() if line}
        if self._waiting:
            await asyncio.gather(*self._waiting)

    async def close(self) -> None:
        for task in self._waiting:
            task.cancel()
        if self._waiting:
            await asyncio.wait(self._waiting)

    def _take(self, lines: dict[str, list[int]], taken: dict[int, Lease]) -> None:
        """The first chunk of each line whose session is free; the other lines go their own way."""
        for line in lines.values():
            place = line[0]
            try:
                lease = self._feeder.lease(self._chunks[place], self._call)
            except RecurError as error:
                self.results[place] = error.kept()
                del line[0]
                continue
            if lease.take():
                taken[place] = lease
                del line[0]
            else:
                self._waiting.append(asyncio.create_task(self._wait(line.copy())))
                line.clear()

    async def _wait(self, line: list[int]) -> None:
        """The chunks of a session that is busy, one after the other."""
        for place in line:
            try:
                self.results[place] = await self._feeder.feed(
                    self._chunks[place], self._call, place=_place(place), room=self._room
                )
            except RecurError as error:
                self.results[place] = error.kept()

    async def _step(self, taken: dict[int, Lease]) -> None:
        """One chunk on each of the sessions; all rows of a model go to its engine in one piece."""
        groups: dict[int, tuple[ServedModel, dict[int, Lease]]] = {}
        for place, lease in taken.items():
            model = self._feeder.model_of(lease)
            groups.setdefault(id(model), (model, {}))[1][place] = lease
        running: list[tuple[Collector, dict[int, Feeding]]] = []
        try:
            for model, leases in groups.values():
                feedings = await self._begin(model, leases)
                collector = self._submit(model, feedings) if feedings else None
                if collector is not None:
                    running.append((collector, feedings))
            for collector, feedings in running:
                ends = await ends_of(collector, Finished)
                await self._end(feedings, ends)
        finally:
            for collector, _ in running:
                collector.close()

    async def _begin(self, model: ServedModel, leases: dict[int, Lease]) -> dict[int, Feeding]:
        """What is to run, by place; the others have their results."""
        feeder, chunks = self._feeder, self._chunks
        named = [(f"{_place(place)}inputs", chunks[place].inputs) for place in leases]
        read = await read_all(model, named, max_steps=feeder.max_steps)
        feedings: dict[int, Feeding] = {}
        for (place, lease), one in zip(leases.items(), read, strict=True):
            if isinstance(one, RecurError):
                self.results[place] = one
                continue
            try:
                begun = await feeder.begin(
                    lease, model, chunks[place], read=one, room=self._room, place=_place(place)
                )
            except RecurError as error:
                self.results[place] = error.kept()
                continue
            if isinstance(begun, Feed):
                self.results[place] = begun
            else:
                feedings[place] = begun
        return feedings

    def _submit(self, model: ServedModel, feedings: dict[int, Feeding]) -> Collector | None:
        rows = [feeding.row for feeding in feedings.values()]
        try:
            return model.engine.submit(rows, deadline=self._call.deadline, flow=self._call.flow)
        except RecurError as error:
            self.results.update(dict.fromkeys(feedings, error.kept()))
            return None

    async def _end(self, feedings: dict[int, Feeding], ends: list[Finished | RecurError]) -> None:
        """Of rows of one model: commit those that came to a good end."""
        ended: list[tuple[int, Feeding, Finished]] = []
        for (place, feeding), end in zip(feedings.items(), ends, strict=True):
            if isinstance(end, RecurError):
                self.results[place] = end.kept()
            else:
                ended.append((place, feeding, end))
        if not ended:
            return
        model = ended[0][1].model
        told = await predictions_of(model, [feeding.ended(end) for _, feeding, end in ended])
        for (place, feeding, end), prediction in zip(ended, told, strict=True):
            try:
                self.results[place] = feeding.end(end, prediction)
            except RecurError as error:
                self.results[place] = error.kept()


def _place(place: int) -> str:
    return f"steps[{place}]."
