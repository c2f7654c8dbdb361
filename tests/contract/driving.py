"""Drives `AsyncToolClient` from tests that are written for `ToolClient`: one test file for both."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any, Self, cast

from salesboost import AsyncJobHandle, AsyncToolClient, ToolClient


class LoopThread:
    """An event loop in a thread of its own; leaving it proves that nothing was left running in it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="loop")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = self.run(self._tasks)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=5)
        self.loop.close()
        assert left == []

    def run(self, function: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
        """Run a coroutine function in the loop and wait for it; any number of threads may do so."""

        async def call() -> Any:
            return await function(*args, **options)

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result()

    @staticmethod
    async def _tasks() -> list[str]:
        # A generator that its reader left is closed by the loop in its next steps.
        for _ in range(3):
            await asyncio.sleep(0)
        return [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]


class Driven:
    """Has the methods of an asynchronous client or handle, without the ``await``."""

    def __init__(self, target: Any, loop: LoopThread, wrappers: dict[Any, Driven]) -> None:
        self._target = target
        self._loop = loop
        self._wrappers = wrappers
        wrappers[target] = self

    def __repr__(self) -> str:
        return repr(self._target)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return self._wrapped(found)
        return lambda *args, **options: self._invoke(found, args, options)

    def _invoke(self, method: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        plain = [self._unwrapped(arg) for arg in args]

        async def begin() -> Any:
            given = method(*plain, **options)
            return given if isinstance(given, AsyncIterator) else await given

        given = self._loop.run(begin)
        return self._iterate(given) if isinstance(given, AsyncIterator) else self._wrapped(given)

    def _iterate(self, given: AsyncIterator[Any]) -> Iterator[Any]:
        try:
            while True:
                try:
                    item = self._loop.run(given.__anext__)
                except StopAsyncIteration:
                    return
                yield self._wrapped(item)
        finally:
            self._loop.run(cast(Any, given).aclose)

    def _wrapped(self, value: Any) -> Any:
        if isinstance(value, AsyncJobHandle) or type(value).__name__ == "AsyncRouter":
            return self._wrappers.get(value) or Driven(value, self._loop, self._wrappers)
        if isinstance(value, (list, tuple)):
            return type(value)(map(self._wrapped, value))
        return value

    def _unwrapped(self, value: Any) -> Any:
        if isinstance(value, Driven):
            return value._target
        return list(map(self._unwrapped, value)) if isinstance(value, list) else value


class DrivenClient(Driven):
    """An `AsyncToolClient` with the methods of `ToolClient`."""

    def __enter__(self) -> Self:
        self._loop.run(self._target.__aenter__)
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.run(self._target.aclose)


def drive(client: AsyncToolClient, loop: LoopThread) -> ToolClient:
    """Return *client*, which is to live in *loop*, with the methods of `ToolClient`."""
    return cast(ToolClient, DrivenClient(client, loop, {}))
