"""The scheduler on a real event loop."""

import asyncio
from functools import partial

import pytest

from serving.scheduler import BUDGET, CHUNK, Scheduler, chunks


def test_chunks_keep_all_texts_in_order():
    texts = ["x" * n for n in (1, CHUNK - 1, 1, 2 * CHUNK, 0, 5, CHUNK)]
    assert [text for chunk in chunks(texts) for text in chunk] == texts


def test_chunks_are_split_at_the_limit():
    texts = ["x" * n for n in (1, CHUNK - 1, 1, 2 * CHUNK, 0, 5, CHUNK)]
    split = list(chunks(texts))
    assert [len(chunk) for chunk in split] == [2, 1, 1, 2, 1]
    sizes = [sum(map(len, chunk)) for chunk in split if len(chunk) > 1]
    assert max(sizes) <= CHUNK


def test_small_work_runs_between_large_chunks():
    done: list[str] = []

    async def work(scheduler: Scheduler, name: str, size: int, count: int) -> None:
        for _ in range(count):
            await scheduler.run(partial(done.append, name), size)

    async def main() -> None:
        scheduler = Scheduler()
        large = work(scheduler, "large", CHUNK, 5)
        await asyncio.gather(large, *(work(scheduler, "small", 10, 1) for _ in range(5)))

    asyncio.run(main())
    assert sorted(done) == ["large"] * 5 + ["small"] * 5
    assert done.index("small") <= 2
    assert done[-3:] == ["large"] * 3


def test_network_is_polled_between_work():
    """A callback that is scheduled during much work runs long before the work ends."""
    order: list[str] = []

    async def main() -> None:
        scheduler, loop = Scheduler(), asyncio.get_running_loop()
        work = [scheduler.run(partial(order.append, "work"), BUDGET) for _ in range(10)]
        running = asyncio.gather(*work)
        await asyncio.sleep(0)
        loop.call_soon(order.append, "poll")
        await running

    asyncio.run(main())
    assert order.count("work") == 10
    assert order.index("poll") <= 3


def test_failed_work_raises_in_its_caller_only():
    async def main() -> list[object]:
        scheduler = Scheduler()
        fail, succeed = partial(int, "x"), partial(int, "7")
        work = [scheduler.run(each, 10) for each in (succeed, fail, succeed)]
        return await asyncio.gather(*work, return_exceptions=True)

    first, failed, last = asyncio.run(main())
    assert first == 7
    assert last == 7
    assert isinstance(failed, ValueError)


def test_cancelled_work_is_skipped():
    done: list[int] = []

    async def main() -> None:
        scheduler = Scheduler()
        work = [scheduler.run(partial(done.append, i), BUDGET) for i in range(4)]
        tasks = [asyncio.create_task(each) for each in work]
        await asyncio.sleep(0)
        tasks[2].cancel()
        await asyncio.wait(tasks)
        with pytest.raises(asyncio.CancelledError):
            tasks[2].result()

    asyncio.run(main())
    assert done == [0, 1, 3]
