"""Work takes turns on a real event loop."""

import asyncio
from functools import partial

import pytest

from serving.scheduler import PASS, PIECE, Turns, pieces


def test_pieces_are_all_texts_in_order_and_none_too_large():
    texts = ["x" * n for n in (1, PIECE - 1, 1, 2 * PIECE, 0, 5, PIECE)]
    cut = list(pieces(texts))
    assert [text for piece in cut for text in piece] == texts
    assert [len(piece) for piece in cut] == [2, 1, 1, 2, 1]
    assert all(len(piece) == 1 or sum(map(len, piece)) <= PIECE for piece in cut)


def test_large_work_leaves_turns_to_small_work():
    done: list[str] = []

    async def work(turns: Turns, name: str, size: int, count: int) -> None:
        for _ in range(count):
            await turns.run(partial(done.append, name), size)

    async def main() -> None:
        turns = Turns()
        await asyncio.gather(
            work(turns, "large", PIECE, 5), *(work(turns, "small", 10, 1) for _ in range(5))
        )

    asyncio.run(main())
    assert sorted(done) == ["large"] * 5 + ["small"] * 5
    assert done.index("small") <= 2
    assert done[-3:] == ["large"] * 3


def test_the_network_is_looked_at_between_turns():
    """A callback that the loop is given while much work waits comes long before its end."""
    order: list[str] = []

    async def main() -> None:
        turns, loop = Turns(), asyncio.get_running_loop()
        work = [turns.run(partial(order.append, "work"), PASS) for _ in range(10)]
        waiting = asyncio.gather(*work)
        await asyncio.sleep(0)
        loop.call_soon(order.append, "look")
        await waiting

    asyncio.run(main())
    assert order.count("work") == 10
    assert order.index("look") <= 3


def test_work_that_fails_fails_its_caller_alone():
    async def main() -> list[object]:
        turns = Turns()
        fail, succeed = partial(int, "x"), partial(int, "7")
        work = [turns.run(each, 10) for each in (succeed, fail, succeed)]
        return await asyncio.gather(*work, return_exceptions=True)

    first, failed, last = asyncio.run(main())
    assert (first, last) == (7, 7)
    assert isinstance(failed, ValueError)


def test_who_leaves_is_not_worked_for():
    done: list[int] = []

    async def main() -> None:
        turns = Turns()
        tasks = [asyncio.create_task(turns.run(partial(done.append, i), PASS)) for i in range(4)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        await asyncio.wait(tasks)
        with pytest.raises(asyncio.CancelledError):
            tasks[2].result()

    asyncio.run(main())
    assert done == [0, 1, 3]
