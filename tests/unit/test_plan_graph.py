"""The graph of what needs what."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.plan_graph import chain_weights, critical_path, find_cycle, order

NODES = "abcdefgh"
GRAPHS = st.dictionaries(st.sampled_from(NODES), st.lists(st.sampled_from(NODES)), min_size=1)


WEIGHTS = st.dictionaries(st.sampled_from(NODES), st.integers(1, 5))


def chains(graph: dict[str, list[str]], node: str) -> list[list[str]]:
    """Return every chain that begins with this node and ends where nothing waits."""
    waiting = [other for other, needs in graph.items() if node in needs]
    return [[node, *chain] for other in waiting for chain in chains(graph, other)] or [[node]]


@given(GRAPHS)
def test_what_order_leaves_out_is_on_or_behind_a_cycle(graph):
    """A cycle is found exactly when some ids cannot be put in order, and it is a real one."""
    done = order(graph)
    cycle = find_cycle(graph)
    assert bool(cycle) == (len(done) < len(graph))
    assert not set(cycle) & set(done)
    for node, need in zip(cycle, cycle[1:] + cycle[:1], strict=True):
        assert need in graph[node]


@given(GRAPHS, WEIGHTS)
def test_chains_agree_with_looking_at_every_one(graph, weights):
    """The number of each id is the weight of the heaviest chain from it on; the critical path has
    those on the heaviest of all, and a task that stands alone is on none.
    """
    done = order(graph)
    sound = {node: [need for need in graph[node] if need in done] for node in done}
    every = {node: chains(sound, node) for node in sound}

    def weight(chain: list[str]) -> int:
        return sum(weights.get(node, 1) for node in chain)

    heaviest = {node: max(map(weight, found)) for node, found in every.items()}
    assert chain_weights(sound, weights) == heaviest
    linked = [chain for found in every.values() for chain in found if len(chain) > 1]
    most = max(map(weight, linked), default=0)
    on_path = {node for chain in linked if weight(chain) == most for node in chain}
    assert critical_path(sound, weights) == on_path


def test_doubled_and_unknown_needs_do_no_harm():
    """A need that is named twice counts once, one that nobody has not at all."""
    assert order({"a": ["b", "b", "x"], "b": []}) == ("b", "a")


def test_a_long_chain_does_not_recurse():
    """Twenty thousand links are no deeper than one."""
    graph = {str(n): [str(n + 1)] if n < 19_999 else [] for n in range(20_000)}
    assert order(graph)[0] == "19999"
    assert chain_weights(graph, {"0": 5})["19999"] == 20_004
    assert len(critical_path(graph, {})) == 20_000
    graph["19999"] = ["0"]
    assert len(find_cycle(graph)) == 20_000
