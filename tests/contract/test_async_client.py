"""What only `AsyncToolClient` has: event loops, tasks and their cancelling."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from salesboost import AsyncToolClient, ToolResult
from workers.stack import Stack


async def _until(predicate: Callable[[], object], description: str) -> None:
    try:
        async with asyncio.timeout(10):
            while not predicate():  # noqa: ASYNC110 - what is waited for happens elsewhere
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within 10 s: {description}") from None


def _readers() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "salesboost-inbox"]


def test_one_client_serves_several_loops_one_after_another(stack: Stack) -> None:
    # Given a client that is used in one loop after another, and closed in each
    client = AsyncToolClient(stack.state_url, cache_url=stack.cache_url)

    async def call(text: str) -> ToolResult:
        async with client:
            return await client.call("echo", {"text": text}, caller_role="sdr")

    # When each loop makes a call
    began = time.monotonic()
    results = [asyncio.run(call(f"{n}")) for n in range(10)]

    # Then each has its result, and none waited for the client's background task to end by itself
    assert [result.result["text"] for result in results] == [f"{n}" for n in range(10)]
    assert time.monotonic() - began < 10 * 0.9


async def test_a_client_is_refused_in_a_second_loop_while_it_is_open_in_the_first(stack: Stack) -> None:
    # Given a client that is open here
    async with AsyncToolClient(stack.state_url) as client:
        await client.tools()
        errors: list[BaseException] = []

        # When the loop of another thread uses it
        def use() -> None:
            try:
                asyncio.run(client.tools())
            except RuntimeError as exc:
                errors.append(exc)

        thread = threading.Thread(target=use)
        thread.start()
        await asyncio.to_thread(thread.join)

        # Then it is told what to do, and here all is well
        assert "open in another event loop" in str(errors[0])
        assert await client.tools()


async def test_cancelling_who_waits_leaves_the_job_and_the_others(stack: Stack, tmp_path: Path) -> None:
    # Given two tasks that wait for one job
    note = tmp_path / "note"
    async with AsyncToolClient(stack.state_url) as client:
        key = uuid.uuid4().hex
        payload = {"seconds": 0.5, "note": str(note)}
        first, second = (
            asyncio.create_task(client.call("cancellable", payload, caller_role="sdr", tool_call_id=key))
            for _ in range(2)
        )
        await _until(note.exists, "the tool has started")

        # When one of them is cancelled
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

        # Then the job goes on and the other one has its result
        result = await second
        assert result.ok
        assert await client.job_state(result.audit.job_id) == "succeeded"


async def test_replies_are_not_mixed_up_when_tasks_are_cancelled_at_any_moment(stack: Stack) -> None:
    # Given a hundred tasks that each make a call
    async with AsyncToolClient(stack.state_url) as client:

        async def call(text: str) -> str:
            return str((await client.call("echo", {"text": text}, caller_role="sdr")).result["text"])

        tasks = {f"{n}": asyncio.create_task(call(f"{n}")) for n in range(100)}

        # When every second one is cancelled, some before they began and some while they wait for a reply
        for n in range(0, 100, 2):
            tasks[f"{n}"].cancel()
            await asyncio.sleep(0.002)
        await asyncio.gather(*tasks.values(), return_exceptions=True)

        # Then the others have their own results, and so has whoever comes after them
        kept = {text: task.result() for text, task in tasks.items() if not task.cancelled()}
        assert len(kept) >= 50
        assert all(text == answer for text, answer in kept.items())
        assert await asyncio.gather(*[call(f"after {n}") for n in range(40)]) == [f"after {n}" for n in range(40)]


async def test_one_background_task_reads_for_all_who_wait_and_ends_after_them(stack: Stack) -> None:
    # Given fifty tasks that wait
    async with AsyncToolClient(stack.state_url) as client:
        calls = [asyncio.create_task(client.call("slow", {"seconds": 0.1}, caller_role="sdr")) for _ in range(50)]
        await _until(_readers, "somebody reads")

        # When they have their results
        most = len(_readers())
        await asyncio.gather(*calls)

        # Then there was one reader, and it ends by itself
        assert most == 1
        await _until(lambda: not _readers(), "the reader has ended")


async def test_closing_the_client_ends_its_task_and_frees_who_waits(stack: Stack, tmp_path: Path) -> None:
    # Given a task that waits for a result
    note = tmp_path / "note"
    client = AsyncToolClient(stack.state_url)
    handle = await client.submit("cancellable", {"seconds": 20, "note": str(note)}, caller_role="sdr")
    waiting = asyncio.create_task(handle.result())
    await _until(note.exists, "the tool has started")
    await _until(_readers, "somebody reads")

    # When the client is closed
    await client.aclose()
    await client.aclose()

    # Then the task learns of it, nothing is left running, and the job goes on
    with pytest.raises(RuntimeError, match="the job goes on"):
        await waiting
    assert not _readers()
    async with client:
        assert await handle.status() == "running"
        await handle.cancel()


async def test_tasks_in_a_group_are_called_side_by_side(stack: Stack) -> None:
    # Given a task group
    # When it makes calls that take four tenths of a second each
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with AsyncToolClient(stack.state_url) as client, asyncio.TaskGroup() as group:
        calls = [group.create_task(client.call("slow", {"seconds": 0.4}, caller_role="sdr")) for _ in range(16)]

    # Then they ran side by side on the worker's sixteen threads
    assert all(call.result().ok for call in calls)
    assert loop.time() - began < 16 * 0.4
