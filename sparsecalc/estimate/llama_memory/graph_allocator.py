"""ggml's graph allocator: where the results of a graph's nodes lie in one buffer, and how large that must be."""

from collections.abc import Iterable

from sparsecalc.core.frozen import Frozen

ALIGNMENT = 128
"""Bytes to which CUDA's buffers align tensors."""


class Node(Frozen):
    """A tensor that a graph computes: its bytes, the nodes that it reads, and whether it may overwrite one of them."""

    nbytes: int
    sources: tuple[int, ...] = ()
    in_place: bool = False
    kept: bool = False
    """Whether its place is its own for good (inputs of a pipeline, which the next micro-batch is copied into)."""


class Graph:
    """Nodes in the order in which they are computed; `add` returns a node's number."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def add(self, nbytes: float, *sources: int, in_place: bool = False, kept: bool = False) -> int:
        """Append a node."""
        self.nodes.append(Node(nbytes=int(nbytes), sources=sources, in_place=in_place, kept=kept))
        return len(self.nodes) - 1


class _Blocks:
    """Free parts of a buffer without end, in order of address; the best fitting one is taken, the last one last."""

    def __init__(self) -> None:
        self.free: list[tuple[int, float]] = [(0, float("inf"))]
        self.end = 0

    def take(self, size: int) -> int:
        fitting = [(room, -place) for place, (_, room) in enumerate(self.free[:-1]) if room >= size]
        place = -min(fitting)[1] if fitting else len(self.free) - 1
        start, room = self.free[place]
        if room == size:
            del self.free[place]
        else:
            self.free[place] = (start + size, room - size)
        self.end = max(self.end, start + size)
        return start

    def give(self, start: int, size: int) -> None:
        self.free.append((start, size))
        self.free.sort()
        joined: list[tuple[int, float]] = []
        for at, room in self.free:
            if joined and joined[-1][0] + joined[-1][1] == at:
                joined[-1] = (joined[-1][0], joined[-1][1] + room)
            else:
                joined.append((at, room))
        self.free = joined


def peak_bytes(nodes: Iterable[Node]) -> int:
    """Bytes of the buffer that holds all results while they are needed.

    A node that may overwrite takes the place of the first of its sources that is as large and read by nothing else.
    What nothing reads any more is free for what comes. Source: ggml/src/ggml-alloc.c (best fit, in-place nodes).
    """
    graph = list(nodes)
    readers = [0] * len(graph)
    for node in graph:
        for source in node.sources:
            readers[source] += 1
    blocks, places = _Blocks(), dict[int, tuple[int, int]]()
    for number, node in enumerate(graph):
        size = -(-node.nbytes // ALIGNMENT) * ALIGNMENT
        over = next(
            (each for each in node.sources if each in places and readers[each] == 1 and places[each][1] == size), None
        )
        if node.in_place and over is not None:
            places[number] = places.pop(over)
        else:
            places[number] = (blocks.take(size), size)
        if node.kept:
            places.pop(number)
        for source in node.sources:
            readers[source] -= 1
            if not readers[source] and source in places:
                blocks.give(*places.pop(source))
    return blocks.end
