"""The threads that step rows, one for each core that may be used, shared by all models."""

import asyncio

from service.engine.worker import Worker


class Pool:
    """Belongs to the event loop."""

    def __init__(self, num_workers: int) -> None:
        self.workers = tuple(Worker(f"engine-{number}") for number in range(num_workers))

    async def close(self) -> None:
        """End the threads; what is still in flight fails with Draining. Idempotent."""
        for worker in self.workers:
            worker.end(None)
        for worker in self.workers:
            await asyncio.to_thread(worker.join)
