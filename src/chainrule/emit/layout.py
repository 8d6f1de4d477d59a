"""A layered drawing of a directed acyclic graph (Sugiyama, Tagawa and Toda 1981).

Nodes go to layers by longest path and slide towards their readers; edges over several layers get a bend in each; layers
are sorted by barycentres to have few crossings; coordinates are weighted least squares under the order of each layer.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from typing import NamedTuple

Point = tuple[float, float]
Edge = tuple[int, int]
_SWEEPS = 24
_BEND = 10.0


class Layout(NamedTuple):
    """Centres of the nodes, the points each edge runs through, and the size of it all."""

    centres: list[Point]
    routes: list[list[Point]]
    width: float
    height: float


class _Net:
    """Nodes and bends in layers; edges that leave one node share their bends as far as they go together."""

    def __init__(self, sizes: Sequence[Point], beside: Sequence[float], edges: Sequence[Edge], layer: list[int]) -> None:
        self.left = [w / 2 for w, _ in sizes]
        self.right = [w / 2 + b for (w, _), b in zip(sizes, beside, strict=True)]
        self.real = len(sizes)
        self.layer = list(layer)
        self.up: list[list[int]] = [[] for _ in sizes]
        self.down: list[list[int]] = [[] for _ in sizes]
        self.chains: list[list[int]] = [[] for _ in edges]
        trunks: dict[int, list[int]] = {}
        for k in sorted(range(len(edges)), key=lambda k: (edges[k][0], layer[edges[k][1]])):
            a, b = edges[k]
            trunk = trunks.setdefault(a, [a])
            shared = min(len(trunk), layer[b] - layer[a]) - 1
            while len(trunk) < layer[b] - layer[a]:
                self._link(trunk[-1], self._bend(layer[a] + len(trunk)))
                trunk.append(len(self.layer) - 1)
            self.chains[k] = [*trunk[shared : layer[b] - layer[a]], b]
            self._link(self.chains[k][-2], b)
        self.trunks = [t[1:] for t in trunks.values() if len(t) > 1]
        self.layers: list[list[int]] = [[] for _ in range(max(self.layer, default=-1) + 1)]
        for v, k in enumerate(self.layer):
            self.layers[k].append(v)
        self.position: dict[int, int] = {}

    def _bend(self, layer: int) -> int:
        self.layer.append(layer)
        self.left.append(_BEND / 2)
        self.right.append(_BEND / 2)
        self.up.append([])
        self.down.append([])
        return len(self.layer) - 1

    def _link(self, u: int, v: int) -> None:
        self.down[u].append(v)
        self.up[v].append(u)


def layout(sizes: Sequence[Point], edges: Sequence[Edge], beside: Sequence[float] = (), gap: Point = (26.0, 34.0)) -> Layout:
    """Place nodes of these sizes (and with so much room on their right); the edges never run in a circle."""
    if not sizes:
        return Layout([], [], 0.0, 0.0)
    net = _Net(sizes, beside or [0.0] * len(sizes), edges, _layers(len(sizes), edges))
    _order(net)
    xs = _coordinates(net, gap[0])
    heights = [max((sizes[v][1] for v in layer if v < net.real), default=0.0) for layer in net.layers]
    tops, y = list[float](), 0.0
    for h in heights:
        tops.append(y)
        y += h + gap[1]
    centres = [(xs[v], tops[net.layer[v]] + heights[net.layer[v]] / 2) for v in range(net.real)]
    routes = [_route(net, chain, xs, tops, heights, sizes, centres) for chain in net.chains]
    left = min(x - a for x, a in zip(xs, net.left, strict=True))
    right = max(x + b for x, b in zip(xs, net.right, strict=True))
    centres = [(x - left, y) for x, y in centres]
    routes = [[(x - left, y) for x, y in route] for route in routes]
    return Layout(centres, routes, right - left, y - gap[1])


def _layers(n: int, edges: Sequence[Edge]) -> list[int]:
    """Longest path from above; then each node slides down towards its readers if that makes edges no longer."""
    ins: list[list[int]] = [[] for _ in range(n)]
    outs: list[list[int]] = [[] for _ in range(n)]
    for a, b in edges:
        ins[b].append(a)
        outs[a].append(b)
    waiting = [len(i) for i in ins]
    order = [v for v in range(n) if not waiting[v]]
    layer = [0] * n
    for v in order:
        for w in outs[v]:
            layer[w] = max(layer[w], layer[v] + 1)
            waiting[w] -= 1
            if not waiting[w]:
                order.append(w)
    for v in reversed(order):
        if outs[v] and len(outs[v]) >= len(ins[v]):
            layer[v] = min(layer[w] for w in outs[v]) - 1
    lowest = min(layer, default=0)
    return [k - lowest for k in layer]


# --- order within layers ------------------------------------------------------------------------------------------------------


def _order(net: _Net) -> None:
    place = {v: float(k) for layer in net.layers for k, v in enumerate(layer)}
    best, fewest = [list(layer) for layer in net.layers], _crossings(net, place)
    for sweep in range(_effort(net, _SWEEPS)):
        downwards = sweep % 2 == 0
        for layer in net.layers if downwards else net.layers[::-1]:
            near = net.up if downwards else net.down
            centre = {v: sum(place[u] for u in near[v]) / len(near[v]) if near[v] else place[v] for v in layer}
            layer.sort(key=lambda v: (centre[v], place[v]))
            place.update((v, float(k)) for k, v in enumerate(layer))
        count = _crossings(net, place)
        if count < fewest:
            best, fewest = [list(layer) for layer in net.layers], count
        if not fewest:
            break
    net.layers = best
    net.position = {v: k for layer in best for k, v in enumerate(layer)}


def _effort(net: _Net, sweeps: int) -> int:
    """Fewer sweeps over a large net: what is left to gain there is small beside the time it takes."""
    return max(4, min(sweeps, sweeps * 4000 // len(net.layer)))


def _crossings(net: _Net, place: dict[int, float]) -> int:
    total = 0
    for layer in net.layers[:-1]:
        seen: list[float] = []
        for v in sorted(layer, key=place.__getitem__):
            ends = sorted(place[w] for w in net.down[v])
            total += sum(len(seen) - bisect_right(seen, e) for e in ends)
            for e in ends:
                insort(seen, e)
    return total


# --- coordinates --------------------------------------------------------------------------------------------------------------


def _coordinates(net: _Net, gap: float) -> list[float]:
    xs = [0.0] * len(net.layer)
    for layer in net.layers:
        at = 0.0
        for v in layer:
            xs[v] = at + net.left[v]
            at += net.left[v] + net.right[v] + gap
    turns = _effort(net, 32)
    for turn in range(turns):
        downwards = turn % 2 == 0
        both = turn >= turns * 3 // 4
        for layer in net.layers if downwards else net.layers[::-1]:
            _settle(net, layer, xs, gap, up=downwards or both, down=not downwards or both)
    for _ in range(3):
        for path in _paths(net):
            _straighten(net, path, xs, gap)
    return xs


def _paths(net: _Net) -> list[list[int]]:
    """What should be upright: long edges, and nodes that follow one another alone."""
    paths = list(net.trunks)
    begun: set[int] = set()
    for v in range(net.real):
        path = [v]
        while len(net.down[path[-1]]) == 1 and len(net.up[net.down[path[-1]][0]]) == 1 and net.down[path[-1]][0] not in begun:
            path.append(net.down[path[-1]][0])
        if len(path) > 1:
            begun.update(path)
            paths.append(path)
    return paths


def _straighten(net: _Net, path: Sequence[int], xs: list[float], gap: float) -> None:
    """Put as long pieces of a path as there is room for on one upright line."""
    piece: list[int] = []
    low, high = float("-inf"), float("inf")
    for v in path:
        a, b = _room(net, v, xs, gap)
        if piece and max(low, a) > min(high, b):
            _align(piece, low, high, xs)
            piece, low, high = [], float("-inf"), float("inf")
        piece.append(v)
        low, high = max(low, a), min(high, b)
    _align(piece, low, high, xs)


def _room(net: _Net, v: int, xs: Sequence[float], gap: float) -> Point:
    """How far a node can move between its neighbours."""
    layer = net.layers[net.layer[v]]
    k = net.position[v]
    low = xs[layer[k - 1]] + _apart(net, layer[k - 1], v, gap) if k else float("-inf")
    high = xs[layer[k + 1]] - _apart(net, v, layer[k + 1], gap) if k + 1 < len(layer) else float("inf")
    return low, max(low, high)


def _align(piece: Sequence[int], low: float, high: float, xs: list[float]) -> None:
    x = min(max(sorted(xs[v] for v in piece)[len(piece) // 2], low), high)
    for v in piece:
        xs[v] = x


def _apart(net: _Net, u: int, v: int, gap: float) -> float:
    """Least distance of the centres of two neighbours."""
    return net.right[u] + net.left[v] + gap * (0.5 if v >= net.real else 1.0)


def _weight(net: _Net, u: int, v: int) -> float:
    """Long edges are kept straight first."""
    return 8.0 if u >= net.real and v >= net.real else 2.0 if u >= net.real or v >= net.real else 1.0


def _settle(net: _Net, layer: Sequence[int], xs: list[float], gap: float, *, up: bool, down: bool) -> None:
    """Move a layer as near to its neighbours as its order allows: isotonic regression by pooling adjacent violators."""
    offset, at = list[float](), 0.0
    blocks: list[list[float]] = []  # weight, weighted sum, number of nodes
    for k, v in enumerate(layer):
        at += _apart(net, layer[k - 1], v, gap) if k else net.left[v]
        offset.append(at)
        near = [(u, _weight(net, u, v)) for u in (net.up[v] if up else []) + (net.down[v] if down else [])]
        weight = sum(w for _, w in near)
        target = sum(xs[u] * w for u, w in near) / weight if near else xs[v]
        weight = weight or 0.01
        blocks.append([weight, weight * (target - at), 1])
        while len(blocks) > 1 and blocks[-2][1] / blocks[-2][0] > blocks[-1][1] / blocks[-1][0]:
            w, s, n = blocks.pop()
            blocks[-1] = [blocks[-1][0] + w, blocks[-1][1] + s, blocks[-1][2] + n]
    k = 0
    for w, s, n in blocks:
        for _ in range(int(n)):
            xs[layer[k]] = s / w + offset[k]
            k += 1


def _route(
    net: _Net, chain: Sequence[int], xs: Sequence[float], tops: Sequence[float], heights: Sequence[float],
    sizes: Sequence[Point], centres: Sequence[Point],
) -> list[Point]:  # fmt: skip
    """From the bottom of the first node, straight through the layers in between, to a place on top of the last."""
    a, b = chain[0], chain[-1]
    start = centres[a][1] + sizes[a][1] / 2 if a < net.real else tops[net.layer[a]] + heights[net.layer[a]]
    points: list[Point] = [(xs[a], start)]
    for v in chain[1:-1]:
        k = net.layer[v]
        points += [(xs[v], tops[k]), (xs[v], tops[k] + heights[k])]
    arriving = sorted(net.up[b], key=lambda u: xs[u])
    port = arriving.index(chain[-2]) - (len(arriving) - 1) / 2
    step = min(14.0, sizes[b][0] * 0.6 / max(len(arriving) - 1, 1))
    return [*points, (xs[b] + port * step, centres[b][1] - sizes[b][1] / 2)]
