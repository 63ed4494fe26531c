"""The graph of what needs what: an order to work in, cycles, the critical path.

A graph is a mapping from each id to the ids that it needs; needs that are not
ids of the graph are ignored. Nothing here recurses: a chain may be as long as
the memory allows.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


def order(graph: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Return the ids so that each comes after all that it needs.

    The graph's own order is kept wherever the needs leave a choice. Ids on a
    cycle, and those that need them, are left out.
    """
    position = {node: number for number, node in enumerate(graph)}
    open_needs = {node: len(_known(needs, graph)) for node, needs in graph.items()}
    dependents = _dependents(graph)
    ready = [position[node] for node, count in open_needs.items() if count == 0]
    heapify(ready)
    nodes = list(graph)
    done: list[str] = []
    while ready:
        node = nodes[heappop(ready)]
        done.append(node)
        for dependent in dependents[node]:
            open_needs[dependent] -= 1
            if open_needs[dependent] == 0:
                heappush(ready, position[dependent])
    return tuple(done)


def find_cycle(graph: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Return the ids of one cycle, each needing the next and the last the first; or nothing."""
    done = set(order(graph))
    left = {node: needs for node, needs in graph.items() if node not in done}
    if not left:
        return ()
    # Every id that is left needs another that is left, so this walk must come round.
    seen: dict[str, int] = {}
    node = next(iter(left))
    while node not in seen:
        seen[node] = len(seen)
        node = next(need for need in left[node] if need in left)
    return tuple(seen)[seen[node] :]


def chain_weights(
    graph: Mapping[str, Collection[str]], weights: Mapping[str, int]
) -> dict[str, int]:
    """Return for each id the weight of the heaviest chain from it to an end, itself included.

    A chain goes from an id to one that needs it, and on. An id without a weight weighs 1. Ids on a
    cycle, and those that need them, have their own weight alone.
    """
    chains = {node: weights.get(node, 1) for node in graph}
    for node in reversed(order(graph)):
        for need in _known(graph[node], graph):
            chains[need] = max(chains[need], weights.get(need, 1) + chains[node])
    return chains


def critical_path(
    graph: Mapping[str, Collection[str]], weights: Mapping[str, int]
) -> frozenset[str]:
    """Return the ids on a heaviest chain of at least two; all such chains where several are.

    Whoever works on these as soon as they may be begun is done with all of it soonest.
    """
    after = chain_weights(graph, weights)
    before = dict.fromkeys(graph, 0)
    ids = order(graph)
    for node in ids:
        for need in _known(graph[node], graph):
            before[node] = max(before[node], before[need] + weights.get(need, 1))
    dependents = _dependents(graph)
    linked = [node for node in ids if dependents[node] or _known(graph[node], graph)]
    heaviest = max((before[node] + after[node] for node in linked), default=0)
    return frozenset(node for node in linked if before[node] + after[node] == heaviest)


def _known(needs: Collection[str], graph: Mapping[str, Collection[str]]) -> set[str]:
    return {need for need in needs if need in graph}


def _dependents(graph: Mapping[str, Collection[str]]) -> dict[str, Sequence[str]]:
    dependents: dict[str, list[str]] = {node: [] for node in graph}
    for node, needs in graph.items():
        for need in _known(needs, graph):
            dependents[need].append(node)
    return dict(dependents)
