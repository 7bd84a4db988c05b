"""Divide keypoint candidates into people at the lowest cost: an integer linear program, solved by HiGHS of SciPy.

A hypothesis is a candidate d with a label c. x_dc = 1 selects it. A pair of hypotheses has a cost, which counts if both
are in the same person (z_dd'cc' = 1). People have at most one candidate of each label, and candidates at most one
label. Most constraints are never violated, so each round adds only those that the last solution violates. The last
round violates none. Then its solution is the optimum of the whole program.

A start, which is the result of another matching, is the upper bound. It stays if no solution with a lower cost is found
within the limits. SciPy cannot pass it to HiGHS as a first solution.

References:
    Pishchulin et al., DeepCut: Joint Subset Partition and Labeling for Multi Person Pose Estimation, arXiv:1511.06645,
    section 2 (constraints, and the sum of the log-odds costs of candidates and pairs). There, a person may have several
    candidates of a label, which replaces the suppression of peaks near each other. Here it has one.
    Insafutdinov et al., DeeperCut, arXiv:1605.03170 (costs by logistic regression, clusters solved in steps).
    Chopra, Rao, The Partition Problem, Mathematical Programming, 1993 (constraints of cycles).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from pose_ros.arrays import BoolArray, DoubleArray, LongArray

MAX_CANDIDATES = 1000
"""Most candidates of an image. Callers keep their start if there are more, as in noise."""
MAX_HYPOTHESES = 200
"""Most hypotheses of one program. Larger clusters keep the start, because noise makes one cluster of everything."""
MAX_ROUNDS, MAX_CUTS, MAX_BRANCHES = 50, 500, 500
"""Most rounds of a program, new constraints in a round, and branches of the search in a round."""
TOLERANCE = 1e-6
"""Differences of cost that count as equal. Equal solutions keep the start."""


@dataclass(frozen=True)
class Hypotheses:
    """Hypotheses of one image, and their costs. Negative costs are likely, positive costs are unlikely.

    Attributes:
        labels: (n,) keypoint of each hypothesis.
        places: (n,) candidate of each hypothesis. At most one hypothesis of a candidate is selected.
        costs: (n,) finite cost of a selected hypothesis.
        pair_costs: (n, n) symmetric and finite cost of two selected hypotheses of one person.
    """

    labels: LongArray
    places: LongArray
    costs: DoubleArray
    pair_costs: DoubleArray

    def cost(self, groups: LongArray) -> float:
        """Return the cost of a partition: the objective of the program.

        Args:
            groups: (n,) person of each hypothesis. -1 = not selected.
        """
        selected = groups >= 0
        together = (groups[:, None] == groups) & selected[:, None]
        return float(self.costs[selected].sum() + np.triu(np.where(together, self.pair_costs, 0), 1).sum())

    def take(self, indices: LongArray) -> Hypotheses:
        """Return some of the hypotheses."""
        return Hypotheses(
            self.labels[indices], self.places[indices], self.costs[indices], self.pair_costs[np.ix_(indices, indices)]
        )


def can_solve() -> bool:
    """Return whether SciPy 1.9 or newer is installed, which contains the solver. Import it."""
    try:
        return hasattr(import_module("scipy.optimize"), "milp")
    except ImportError:
        return False


def partition(hypotheses: Hypotheses, start: LongArray, limit_ms: float) -> LongArray:
    """Return the person (n,) of each hypothesis at the lowest cost. -1 = not selected. New people have new numbers.

    Clusters without an attractive pair between them are independent programs, the smallest first.

    Args:
        hypotheses: Hypotheses and costs.
        start: (n,) partition that satisfies the constraints. The result never costs more.
        limit_ms: Time limit. 0 = no limit.
    """
    deadline = time.perf_counter() + limit_ms / 1e3 if limit_ms > 0 else math.inf
    groups = start.copy()
    attracts = (hypotheses.pair_costs < 0) & (hypotheses.labels[:, None] != hypotheses.labels)
    same_place = hypotheses.places[:, None] == hypotheses.places
    clusters = _connected(attracts | same_place)
    sizes = np.bincount(clusters, minlength=1)
    unused = max(int(start.max(initial=-1)), len(start)) + 1
    for cluster in np.argsort(sizes, kind="stable"):
        indices = np.flatnonzero(clusters == cluster)
        if len(indices) > MAX_HYPOTHESES:
            break
        found = _solve(hypotheses.take(indices), start[indices], deadline)
        if found is not None:
            groups[indices] = np.where(found >= 0, found + unused + cluster * len(start), -1)
    return groups


def _connected(matrix: BoolArray) -> LongArray:
    """Return the number (n,) of the connected component of each node of a symmetric matrix."""
    components = np.full(len(matrix), -1)
    count = 0
    for node in range(len(matrix)):
        if components[node] < 0:
            reached = np.zeros(len(matrix), np.bool_)
            front = reached.copy()
            front[node] = True
            while front.any():
                reached |= front
                front = matrix[front].any(axis=0) & ~reached
            components[reached] = count
            count += 1
    return components


def _solve(hypotheses: Hypotheses, start: LongArray, deadline: float) -> LongArray | None:
    """Return the partition of one cluster. None = nothing better than the start was found."""
    best, best_cost = None, hypotheses.cost(start)
    free = np.where(hypotheses.labels[:, None] != hypotheses.labels, np.minimum(hypotheses.pair_costs, 0), 0)
    if best_cost <= np.minimum(hypotheses.costs, 0).sum() + np.triu(free, 1).sum() + TOLERANCE:
        return best  # no constraint can make it better
    program = _Program(hypotheses)
    for _ in range(MAX_ROUNDS):
        left = deadline - time.perf_counter()
        solution = program.solve(left) if left > 0 else None
        if solution is None or solution.bound >= best_cost - TOLERANCE:
            return best
        cuts = program.add_cuts(solution)
        groups = _repair(hypotheses, solution) if cuts else solution.groups()
        cost = hypotheses.cost(groups)
        if cost < best_cost - TOLERANCE:
            best, best_cost = groups, cost
        if not (cuts and solution.is_optimal):
            return best
    return best


def _repair(hypotheses: Hypotheses, solution: _Solution) -> LongArray:
    """Return a partition that satisfies all constraints: the linked pairs, the cheapest first, while they fit."""
    groups = np.where(solution.selected, np.arange(len(hypotheses.labels)), -1)
    pairs = np.argwhere(np.triu(solution.linked, 1))
    for i, j in pairs[np.argsort(hypotheses.pair_costs[tuple(pairs.T)], kind="stable")]:
        first, second = groups == groups[i], groups == groups[j]
        if not np.isin(hypotheses.labels[first], hypotheses.labels[second]).any():
            groups[second] = groups[i]
    return groups


@dataclass(frozen=True)
class _Solution:
    """Solution of one round: selected hypotheses (n,), linked pairs (n, n), and the lower bound of the cost."""

    selected: BoolArray
    linked: BoolArray
    bound: float
    is_optimal: bool

    def groups(self) -> LongArray:
        """Return the person (n,) of each hypothesis. -1 = not selected."""
        return np.where(self.selected, _connected(self.linked), -1)


@dataclass
class _Rows:
    """Constraints ``sum of coefficients * variables <= limit``, as the entries of a sparse matrix."""

    rows: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    coefficients: list[float] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)

    def add(self, plus: list[int], minus: list[int], limit: float) -> None:
        """Add the constraint that some variables minus others are at most the limit."""
        self.rows += [len(self.limits)] * (len(plus) + len(minus))
        self.columns += plus + minus
        self.coefficients += [1.0] * len(plus) + [-1.0] * len(minus)
        self.limits.append(limit)


class _Program:
    """Integer linear program of a cluster. Its variables are the n hypotheses, and the pairs that matter so far."""

    def __init__(self, hypotheses: Hypotheses) -> None:
        self._hypotheses, self._count = hypotheses, len(hypotheses.labels)
        self._costs = hypotheses.costs.tolist()
        self._pairs: list[tuple[int, int]] = []
        self._columns = np.full((self._count, self._count), -1)
        self._rows = _Rows()
        differ = hypotheses.labels[:, None] != hypotheses.labels
        for i, j in np.argwhere(np.triu((hypotheses.pair_costs < 0) & differ, 1)).tolist():
            self._add_pair(i, j)
        self._limit_labels()

    def _add_pair(self, i: int, j: int) -> int:
        """Return the variable z of a pair. Add it if it is new."""
        if self._columns[i, j] < 0:
            self._columns[i, j] = self._columns[j, i] = len(self._costs)
            self._costs.append(float(self._hypotheses.pair_costs[i, j]))
            self._pairs.append((i, j))
        return int(self._columns[i, j])

    def _limit_labels(self) -> None:
        """Add the constraints that no round leaves out."""
        labels, places = self._hypotheses.labels, self._hypotheses.places
        for place in np.flatnonzero(np.bincount(places) > 1):
            # One label for each candidate
            self._rows.add(np.flatnonzero(places == place).tolist(), [], 1)
        for i in range(self._count):
            columns = self._columns[i]
            for label in np.unique(labels[columns >= 0]):
                # z <= x. Added up over the candidates of a label, since a person has only one of them
                self._rows.add(columns[(columns >= 0) & (labels == label)].tolist(), [i], 0)

    def solve(self, limit_s: float) -> _Solution | None:
        """Solve the program with the present constraints. Return None if no solution is found within the limits."""
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import csr_array

        rows, size = self._rows, len(self._costs)
        matrix = csr_array((rows.coefficients, (rows.rows, rows.columns)), shape=(len(rows.limits), size))
        options: dict[str, Any] = {"mip_rel_gap": 0.0, "node_limit": MAX_BRANCHES}
        if math.isfinite(limit_s):
            options["time_limit"] = limit_s
        result = milp(
            np.array(self._costs),
            integrality=np.ones(size),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(matrix, -np.inf, np.array(rows.limits)),
            options=options,
        )
        if result.x is None:
            return None
        chosen = result.x > 0.5
        linked = np.zeros((self._count, self._count), np.bool_)
        i, j = np.array(self._pairs, np.int64).reshape(-1, 2)[chosen[self._count :]].T
        linked[i, j] = linked[j, i] = True
        return _Solution(chosen[: self._count], linked, float(result.mip_dual_bound), result.status == 0)

    def add_cuts(self, solution: _Solution) -> int:
        """Add constraints that the solution violates. Return their number, 0 = the solution violates none."""
        before = len(self._rows.limits)
        pair_costs, labels = self._hypotheses.pair_costs, self._hypotheses.labels
        groups = solution.groups()
        together = (groups[:, None] == groups) & solution.selected[:, None]
        same_label = labels[:, None] == labels
        # Three candidates: if i, v and v, j are in one person, i and j are, too
        ways = solution.linked.astype(np.int64) @ solution.linked
        for i, j in np.argwhere(np.triu((ways > 0) & ~solution.linked & ~same_label & (pair_costs != 0), 1)).tolist():
            for middle in np.flatnonzero(solution.linked[i] & solution.linked[j]).tolist():
                self._add_cycle([i, middle, j])
            if len(self._rows.limits) - before >= MAX_CUTS:
                return len(self._rows.limits) - before
        # The same along a path: its ends are in one person, so they have different labels, and their pair counts
        wrong = together & (same_label | (pair_costs > 0)) & ~solution.linked & (ways == 0)
        for i, j in np.argwhere(np.triu(wrong, 1)).tolist():
            self._add_cycle(_shortest_path(solution.linked, i, j))
            if len(self._rows.limits) - before >= MAX_CUTS:
                break
        return len(self._rows.limits) - before

    def _add_cycle(self, path: list[int]) -> None:
        """Forbid that all pairs along a path are linked and its ends are not. Ends of one label never are."""
        i, j = path[0], path[-1]
        columns = [int(self._columns[path[n], path[n + 1]]) for n in range(len(path) - 1)]
        labels = self._hypotheses.labels
        ends = [] if labels[i] == labels[j] else [self._add_pair(i, j)]
        self._rows.add(columns, ends, len(columns) - 1)


def _shortest_path(linked: BoolArray, start: int, end: int) -> list[int]:
    """Return the nodes of a shortest path from one node to a connected one, both included."""
    previous = np.full(len(linked), -1)
    previous[start] = start
    front = [start]
    while previous[end] < 0:
        reached = []
        for node in front:
            new = np.flatnonzero(linked[node] & (previous < 0))
            previous[new] = node
            reached += new.tolist()
        front = reached
    path = [end]
    while path[-1] != start:
        path.append(int(previous[path[-1]]))
    return path[::-1]
