"""The workers that step rows, shared by all models: threads for long calls, the loop for short."""

import asyncio

from service.engine.worker import LoopWorker, ThreadWorker, Worker


class Pool:
    """Belongs to the event loop. A thread for each core that may be used."""

    def __init__(self, num_threads: int) -> None:
        self.threads: tuple[Worker, ...] = tuple(
            ThreadWorker(f"engine-{number}") for number in range(num_threads)
        )
        self.loop: Worker = LoopWorker()

    async def close(self) -> None:
        """End the workers; what is still in flight fails with Draining. Idempotent."""
        for worker in (*self.threads, self.loop):
            worker.end(None, ended=lambda: None)
        for worker in self.threads:
            await asyncio.to_thread(worker.join)
