"""The scheduler on a real event loop."""

import asyncio
from functools import partial

import pytest

from sentiment.steps import STEP
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


def explanation(done: list[str], name: str, count: int):
    """Return ``count`` steps that note their name."""
    for _ in range(count):
        done.append(name)
        yield STEP
    return name


async def explain(scheduler: Scheduler, done: list[str], name: str, count: int) -> str:
    with scheduler.budget.charge(count * STEP, large=True) as charge:
        return await scheduler.run_steps(explanation(done, name, count), charge)


def test_small_prediction_waits_for_one_step_of_many_explanations():
    done: list[str] = []

    async def main() -> None:
        scheduler = Scheduler()
        large = [explain(scheduler, done, f"explanation {i}", 50) for i in range(16)]
        running = asyncio.gather(*large)
        for _ in range(20):
            await asyncio.sleep(0.001)
            done.append("asked")
            await scheduler.run(partial(done.append, "predicted"), 10)
        await running

    asyncio.run(main())
    asked = [i for i, name in enumerate(done) if name == "asked"]
    assert len(asked) == 20
    assert len(done) - asked[0] > 50  # the explanations have not ended yet
    for i in asked:
        assert "predicted" in done[i : i + 3]


def test_explanations_take_turns():
    done: list[str] = []

    async def main() -> list[str]:
        scheduler = Scheduler()
        counts = {"long": 40, "longer": 60, "short": 5}
        return await asyncio.gather(*(explain(scheduler, done, *item) for item in counts.items()))

    assert asyncio.run(main()) == ["long", "longer", "short"]
    assert done.index("longer") <= 2
    assert max(i for i, name in enumerate(done) if name == "short") <= 3 * 5 + 2
    assert done[-20:] == ["longer"] * 20


def test_explanations_end_while_predictions_never_stop():
    done: list[str] = []

    async def main() -> None:
        scheduler = Scheduler()

        async def predict() -> None:
            while True:
                await scheduler.run(partial(sum, range(1000)), BUDGET)

        crowd = [asyncio.create_task(predict()) for _ in range(20)]
        await asyncio.wait_for(explain(scheduler, done, "explanation", 50), 60)
        for task in crowd:
            task.cancel()

    asyncio.run(main())
    assert len(done) == 50


def test_small_explanation_runs_at_once():
    done: list[str] = []

    async def main() -> str:
        scheduler = Scheduler()
        with scheduler.budget.charge(BUDGET, large=False) as charge:
            result = await scheduler.run_steps(explanation(done, "x", 4), charge)
        assert scheduler.budget.queued == 0
        return result

    assert asyncio.run(main()) == "x"
    assert len(done) == 4


def test_failed_step_raises_in_its_caller():
    def failing():
        yield STEP
        raise LookupError("x")

    async def main() -> None:
        scheduler = Scheduler()
        with scheduler.budget.charge(10 * STEP, large=True) as charge:
            await scheduler.run_steps(failing(), charge)

    with pytest.raises(LookupError):
        asyncio.run(main())


def test_cancelled_explanation_takes_no_more_steps():
    done: list[str] = []

    async def main() -> None:
        scheduler = Scheduler()
        other = asyncio.create_task(explain(scheduler, done, "other", 30))
        task = asyncio.create_task(explain(scheduler, done, "cancelled", 10_000))
        while done.count("cancelled") < 3:
            await asyncio.sleep(0)
        task.cancel()
        await other
        assert scheduler.budget.queued == 0

    asyncio.run(main())
    assert done.count("other") == 30
    assert done.count("cancelled") <= 5
