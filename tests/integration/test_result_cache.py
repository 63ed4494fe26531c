"""`ResultCache` as a program uses it, on a real ledger."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from tests.processes import until
from vibe_tasks import ResultCache
from vibe_tasks.errors import InputError
from vibe_tasks.store.engine import Database

TASK = {"title": "Write add()", "files": ["a.py"]}


def test_a_result_is_found_again(database: Database) -> None:
    """By equal task data, in every process; figures are those of all together."""
    cache, elsewhere = ResultCache(ledger=database), ResultCache(ledger=database)
    assert cache.get(TASK) is None
    cache.set(TASK, {"code": "def add(): ..."})
    assert elsewhere.get(dict(reversed(TASK.items()))) == {"code": "def add(): ..."}
    assert cache.get(TASK | {"title": "Write sub()"}) is None
    stats = cache.get_stats()
    assert (stats["size"], stats["hits"], stats["misses"], stats["evictions"]) == (1, 1, 2, 0)
    assert stats["hit_rate"] == 33.33
    assert cache.clear() == 1
    assert cache.get(TASK) is None


def test_it_is_bounded_and_has_entries_of_its_own(database: Database) -> None:
    """What was not used for longest goes first; another name is another cache."""
    small, other = ResultCache(max_size=2, ledger=database), ResultCache(name="x", ledger=database)
    other.set("a", "theirs")
    small.set("a", 1)
    small.set("b", 2)
    assert small.get("a") == 1
    small.set("c", 3)
    assert [small.get(key) for key in "abc"] == [1, None, 3]
    assert small.get_stats()["evictions"] == 1
    assert other.get("a") == "theirs"


def test_one_makes_what_many_want(database: Database) -> None:
    """The others wait and get the same; one that fails tells its own caller, and another tries."""
    cache = ResultCache(ledger=database)
    begun, go = Event(), Event()
    made: list[str] = []

    def make(who: str) -> dict[str, Any]:
        made.append(who)
        begun.set()
        assert go.wait(60)
        if len(made) == 1:
            raise OSError(who)
        return {"by": who}

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(cache.get_or_make, TASK, lambda: make("first"))
        assert begun.wait(60)
        others = [pool.submit(cache.get_or_make, TASK, lambda n=n: make(n)) for n in "abc"]
        until(lambda: cache.get_stats()["waits"] >= 3)
        go.set()
        assert isinstance(first.exception(20), OSError)
        results = [each.result(60) for each in others]
    assert len(made) == 2
    assert results == [{"by": made[1]}] * 3


def test_async_work_is_awaited(database: Database) -> None:
    """Likewise by one for all who ask at the same time."""
    cache = ResultCache(ledger=database)
    made = 0

    async def make() -> int:
        nonlocal made
        made += 1
        await asyncio.sleep(0)
        return 42

    async def program() -> list[int]:
        asked = [cache.get_or_make(TASK, make) for _ in range(5)]
        return list(await asyncio.gather(*asked))

    assert asyncio.run(program()) == [42] * 5
    assert made == 1
    assert cache.get(TASK) == 42


def test_what_is_no_json_is_refused(database: Database) -> None:
    """As data and as a result; what was begun is given up."""
    cache = ResultCache(ledger=database)
    with pytest.raises(TypeError):
        cache.get({1, 2})
    with pytest.raises(TypeError):
        cache.get_or_make(TASK, lambda: float("nan"))
    assert cache.get_stats()["making"] == 0
    with pytest.raises(InputError, match="max_size must be 1 or more"):
        ResultCache(max_size=0, ledger=database)
    with pytest.raises(InputError, match="ttl_seconds must be above zero"):
        ResultCache(ttl_seconds=0, ledger=database)
