"""Queries by the thousand while indexes are swapped: none fails, none meets the wrong index."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from complaints import complaint
from tiny import tiny_catalog, tiny_encoder

from fashionlib.running.live_index import LiveIndex, Searcher
from fashionlib.search import build_index


@pytest.fixture(scope="module")
def catalog():
    return tiny_catalog()


def searcher(catalog, seed: int) -> Searcher:
    """Its ids say which searcher they are of."""
    encoder = tiny_encoder(seed)
    ids = [f"{seed}:{name}" for name in catalog.train.names]
    return Searcher(encoder, build_index(encoder, catalog.train.images, ids))


def test_no_query_fails_or_meets_the_other_index_while_they_are_swapped(catalog):
    """A picture of the catalog is at distance 0 from itself, but only in its own index."""
    searchers = [searcher(catalog, seed) for seed in (0, 1)]
    live, stop, places = LiveIndex(searchers[0]), Event(), range(8)
    pictures = [catalog.train.images[place] for place in places]
    own = [[f"{seed}:{catalog.train.names[place]}" for seed in (0, 1)] for place in places]

    def ask(place: int) -> list[int]:
        """Which searcher answered, for each query of a thread."""
        answers = []
        while not stop.is_set() or len(answers) < 20:
            found = live.search(pictures[place], 1)
            assert float(found.distances[0, 0]) < 1e-4
            answers.append(own[place].index(found.ids[0][0]))
        return answers

    with ThreadPoolExecutor(len(places)) as pool:
        threads = [pool.submit(ask, place) for place in places]
        swaps = 0
        try:
            while swaps < 100:
                assert live.swap(searchers[(swaps + 1) % 2]) is searchers[swaps % 2]
                swaps += 1
                live.search(pictures[0], 1)  # lets the others have a turn
        finally:
            stop.set()
        answers = [answer for thread in threads for answer in thread.result()]
    assert len(answers) >= 160  # twenty of each thread
    assert min(answers.count(0), answers.count(1)) > 10  # both were asked


def test_searches_go_on_while_the_new_index_is_built(catalog):
    old = searcher(catalog, 0)
    live = LiveIndex(old)
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(searcher, catalog, 1)
        asked = 0
        while not building.done() or asked < 3:
            assert live.search(catalog.train.images[3], 1).ids[0][0].startswith("0:")
            asked += 1
        live.swap(building.result())
    assert live.search(catalog.train.images[3], 1).ids[0][0].startswith("1:")


def test_a_query_that_began_before_the_swap_ends_in_the_old_index(catalog, monkeypatch):
    old, new = searcher(catalog, 0), searcher(catalog, 1)
    live = LiveIndex(old)
    forward = old.encoder.forward

    def swapped_under_way(inputs):
        live.swap(new)
        return forward(inputs)

    monkeypatch.setattr(old.encoder, "forward", swapped_under_way)
    found = live.search(catalog.train.images[5], 1)
    assert found.ids[0][0] == f"0:{catalog.train.names[5]}"
    assert float(found.distances[0, 0]) < 1e-4
    assert live.search(catalog.train.images[5], 1).ids[0][0].startswith("1:")


def test_an_index_of_other_weights_makes_no_searcher(catalog):
    first, second = searcher(catalog, 0), searcher(catalog, 1)
    complaint(lambda: Searcher(first.encoder, second.index), "other weights")


def test_the_same_weights_at_another_size_make_no_searcher(catalog):
    small, larger = searcher(catalog, 0), tiny_encoder(0, 40)
    complaint(lambda: Searcher(larger, small.index), "at another picture size")
