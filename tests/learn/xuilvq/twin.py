"""XuILVQ in plain Python, written from its description: slow, obvious, and equal to the kernels to the last bit."""

from __future__ import annotations

import math

import numpy as np


class Twin:
    def __init__(self, n_classes: int, n_neighbors: int = 5, edge_age_max: int = 400, denoise_every: int = 150) -> None:
        self.n_classes, self.n_neighbors = n_classes, n_neighbors
        self.edge_age_max, self.denoise_every = edge_age_max, denoise_every
        self.x: list[list[float]] = []
        self.label: list[int] = []
        self.mass: list[float] = []
        self.edges: list[list[int]] = []
        self.alpha_winner, self.alpha_neighbour = 0.9, 0.1
        self.steps = 0

    @staticmethod
    def distance(a: list[float], b: list[float]) -> float:
        total = 0.0
        for u, v in zip(a, b, strict=True):
            total += (u - v) * (u - v)
        return math.sqrt(total)

    def ranked(self, x: list[float]) -> list[tuple[float, int]]:
        return sorted((self.distance(x, w), i) for i, w in enumerate(self.x))

    def predict(self, x: list[float]) -> tuple[int, np.ndarray]:
        votes = np.zeros(self.n_classes)
        if not self.x:
            return -1, votes
        near = self.ranked(x)[: self.n_neighbors]
        if near[0][0] == 0.0:
            votes[self.label[near[0][1]]] = 1.0
            return self.label[near[0][1]], votes
        total = 0.0
        for distance, i in near:
            votes[self.label[i]] += 1.0 / distance
            total += 1.0 / distance
        return int(np.argmax(votes)), votes / total

    def neighbours(self, i: int) -> list[int]:
        return [b if a == i else a for a, b, _ in self.edges if i in (a, b)]

    def threshold(self, i: int) -> float:
        same, other = [], []
        for j in self.neighbours(i):
            (same if self.label[i] == self.label[j] else other).append(self.distance(self.x[i], self.x[j]))
        if not same and not other:
            return math.nan
        if not other:
            return max(same)
        if not same:
            return min(other)
        above = [distance for distance in sorted(other) if distance > sum(same) / len(same)]
        return above[0] if above else max(other)

    def learn(self, x: list[float], y: int) -> None:
        self.steps += 1
        if len(self.x) > 2:
            (d1, s1), (d2, s2) = self.ranked(x)[:2]
            near = not (d1 > self.threshold(s1) or d2 > self.threshold(s2))
            if y in self.label and near:
                self.absorb(x, y, s1, s2)
                if self.denoise_every and self.steps % self.denoise_every == 0:
                    self.denoise()
                return
        self.x.append(list(x))
        self.label.append(y)
        self.mass.append(0.0)

    def absorb(self, x: list[float], y: int, s1: int, s2: int) -> None:
        if s2 not in self.neighbours(s1):
            self.edges.append([s1, s2, 0])
        self.mass[s1] += 1
        hit = self.label[s1] == y
        self.move(s1, x, self.alpha_winner if hit else -self.alpha_winner)
        for j in self.neighbours(s1):
            if hit and self.label[j] != self.label[s1]:
                self.move(j, x, -self.alpha_neighbour)
            elif not hit and self.label[j] == y:
                self.move(j, x, self.alpha_neighbour)
        for edge in self.edges:
            if s1 in edge[:2]:
                edge[2] += 1
        self.edges = [edge for edge in self.edges if edge[2] <= self.edge_age_max]
        self.alpha_winner, self.alpha_neighbour = 1.0 / self.mass[s1], 1.0 / (100.0 * self.mass[s1])

    def move(self, i: int, x: list[float], rate: float) -> None:
        self.x[i] = [w + rate * (v - w) for v, w in zip(x, self.x[i], strict=True)]

    def denoise(self) -> None:
        suspects = [i for i in range(len(self.x)) if len(self.neighbours(i)) < 2]
        gone: list[int] = []
        for i in suspects:
            size, total = len(self.x) - len(gone), sum(m for j, m in enumerate(self.mass) if j not in gone)
            degree = len(self.neighbours(i))
            if degree == 0 or (degree == 1 and self.mass[i] < size / 2 * total):
                gone.append(i)
                self.edges = [edge for edge in self.edges if i not in edge[:2]]
        kept = [i for i in range(len(self.x)) if i not in gone]
        self.x, self.label, self.mass = ([v[i] for i in kept] for v in (self.x, self.label, self.mass))
        place = {old: new for new, old in enumerate(kept)}
        self.edges = [[place[a], place[b], age] for a, b, age in self.edges]
