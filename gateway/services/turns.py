"""Lets one go at a time, by turns: who asks for many waits behind others, not they behind them all."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager


class Turns:
    """One turn at a time, in one event loop; of each holder no more than one waits for the next."""

    def __init__(self) -> None:
        """Begin with nobody waiting."""
        self._own = defaultdict[str, asyncio.Lock](asyncio.Lock)
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def taken(self, holder: str, *, within_s: float) -> AsyncIterator[bool]:
        """Wait for a turn and keep it until left; tell whether it came in time."""
        async with AsyncExitStack() as kept:
            try:
                async with asyncio.timeout(within_s):
                    await kept.enter_async_context(self._own[holder])
                    await kept.enter_async_context(self._turn)
                is_taken = True
            except TimeoutError:
                is_taken = False
            yield is_taken
