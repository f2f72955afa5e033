"""Shards read by several threads."""

import time

import numpy as np
import pytest

from sentiment import ngram_keys, ngrams, shards


@pytest.fixture()
def readers(tmp_path):
    """Return functions that read a shard of counts, and one of rows."""
    counts, rows = tmp_path / "counts", tmp_path / "rows"
    counted = ngrams.count(["a fine film", "a dull film"], 1, str.split)
    shards.write_counts(counted, np.array([1, 0], np.int8), counts)
    index = ngram_keys.numbers(["a", "film"])
    shards.write_rows(counts, index, np.array([1, 2]), rows)
    return {"counts": shards.counts_of(counts), "rows": shards.rows_of(rows, 2)}


@pytest.mark.parametrize("kind", ["counts", "rows"])
def test_one_file_header_is_parsed_at_a_time(readers, monkeypatch, kind):
    """Before Python 3.11.8 ``ast.parse`` in two threads at once can raise a SystemError."""
    parsing, overlaps, load = [], [], np.load

    def slow_load(*args, **kwargs):
        overlaps.extend(parsing)
        parsing.append(args)
        time.sleep(0.005)
        loaded = load(*args, **kwargs)
        parsing.remove(args)
        return loaded

    monkeypatch.setattr(np, "load", slow_load)
    monkeypatch.setattr(shards, "cpu_count", lambda: 4)
    results = list(shards.parallel_map(lambda _: readers[kind](), range(8)))
    assert len(results) == 8
    assert overlaps == []
