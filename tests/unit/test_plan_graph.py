"""The graph of what needs what."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.plan_graph import chain_lengths, find_cycle, order

NODES = "abcdefgh"
GRAPHS = st.dictionaries(st.sampled_from(NODES), st.lists(st.sampled_from(NODES)), min_size=1)


def longest(graph: dict[str, list[str]], node: str) -> int:
    """Return the longest chain of those that wait, by looking at every one."""
    waiting = [other for other, needs in graph.items() if node in needs]
    return max((1 + longest(graph, other) for other in waiting), default=0)


@given(GRAPHS)
def test_what_order_leaves_out_is_on_or_behind_a_cycle(graph):
    """A cycle is found exactly when some ids cannot be put in order, and it is a real one."""
    done = order(graph)
    cycle = find_cycle(graph)
    assert bool(cycle) == (len(done) < len(graph))
    assert not set(cycle) & set(done)
    for node, need in zip(cycle, cycle[1:] + cycle[:1], strict=True):
        assert need in graph[node]


@given(GRAPHS)
def test_chain_lengths_agree_with_looking_at_every_chain(graph):
    """The number of each id is the length of the longest chain that waits for it."""
    done = order(graph)
    sound = {node: [need for need in graph[node] if need in done] for node in done}
    lengths = chain_lengths(sound)
    assert lengths == {node: longest(sound, node) for node in sound}


def test_doubled_and_unknown_needs_do_no_harm():
    """A need that is named twice counts once, one that nobody has not at all."""
    assert order({"a": ["b", "b", "x"], "b": []}) == ("b", "a")


def test_a_long_chain_does_not_recurse():
    """Twenty thousand links are no deeper than one."""
    graph = {str(n): [str(n + 1)] if n < 19_999 else [] for n in range(20_000)}
    assert order(graph)[0] == "19999"
    assert chain_lengths(graph)["19999"] == 19_999
    graph["19999"] = ["0"]
    assert len(find_cycle(graph)) == 20_000
