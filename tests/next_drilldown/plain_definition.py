"""The definition of the answer in plain Python, written from the formulas alone.

It shares no code with `drilldown_next.definition` and is slow: one number at a time.
"""

from __future__ import annotations

from itertools import combinations, product
from math import sqrt
from statistics import median


def leaves_of(shape, segment):
    numbered = enumerate(product(*map(range, shape)))
    return {number for number, leaf in numbered if all(leaf[d] == v for d, v in segment)}


def all_segments(shape):
    found = [((d, v),) for d, size in enumerate(shape) for v in range(size)]
    for a, b in combinations(range(len(shape)), 2):
        found += [((a, v), (b, w)) for v in range(shape[a]) for w in range(shape[b])]
    return found


class Step:
    """Counts of one step as lists: entered[leaf][day] and passed[leaf][day]."""

    def __init__(self, entered, passed):
        self.entered, self.passed = entered, passed
        self.days = range(len(entered[0]))

    def series(self, leaves, rest):
        """n, y, n', y' by day of some leaves against others."""
        n, y = self.total(self.entered, leaves), self.total(self.passed, leaves)
        others_n, others_y = self.total(self.entered, rest), self.total(self.passed, rest)
        return n, y, others_n, others_y

    def total(self, table, leaves):
        return [sum(table[leaf][day] for leaf in leaves) for day in self.days]

    def scores(self, leaves, everybody):
        n, y, rest_n, rest_y = self.series(leaves, everybody - leaves)
        ratios = []
        for monday in self.days[::7]:
            above = below = 0.0
            for d in range(monday, monday + 7):
                size = max(n[d] + rest_n[d], 1)
                above += y[d] * (rest_n[d] - rest_y[d]) / size
                below += (n[d] - y[d]) * rest_y[d] / size
            ratios.append((above + 0.5) / (below + 0.5))
        usual = median(ratios)
        e, u, w, loss = [], [], [], []
        for d in self.days:
            o = (rest_y[d] + 0.5) / (rest_n[d] - rest_y[d] + 0.5)
            p, q = o * usual / (1 + o * usual), o / (1 + o)
            v, v_rest = n[d] * p * (1 - p), rest_n[d] * q * (1 - q)
            e.append(n[d] * p)
            w.append(v * v_rest / (v + v_rest) if v > 0 and v_rest > 0 else 0.0)
            u.append((e[d] - y[d]) * w[d] / v if w[d] > 0 else 0.0)
            loss.append(1 - y[d] / e[d] if e[d] > 0 else 0.0)
        z = [abs(a) / sqrt(b) if b > 0 else 0.0 for a, b in zip(u, w, strict=True)]
        s = max(1.0, median(z) / 0.6745)
        return {
            "n": n,
            "y": y,
            "rest": rest_n,
            "e": e,
            "u": u,
            "w": w,
            "loss": loss,
            "z": z,
            "s": s,
        }


def spread(step, shape, leaves):
    remaining = set(range(len(step.entered))) - leaves
    by_value = []
    for d, size in enumerate(shape):
        for v in range(size):
            inside = leaves_of(shape, ((d, v),)) & remaining
            if inside:
                by_value.append(step.scores(inside, remaining))
    found = []
    for day in step.days:
        usable = [
            x["z"][day] / x["s"] for x in by_value if x["n"][day] >= 20 and x["rest"][day] >= 20
        ]
        found.append(max(1.0, median(usable) / 0.6745) if len(usable) >= 3 else 1.0)
    return found


def best_of_step(number, step, shape, eligible, min_score, min_loss):
    """The counting run with the largest gain, as a tuple that sorts first."""
    everybody, best = set(range(len(step.entered))), None
    for place, segment in enumerate(all_segments(shape)):
        if segment not in eligible:
            continue
        leaves = leaves_of(shape, segment)
        x, g = step.scores(leaves, everybody), None
        for first in step.days:
            for length in range(3, 15):
                run = range(first, first + length)
                if run[-1] not in step.days or x["n"][run[-1]] < 20 or x["rest"][run[-1]] < 20:
                    break
                if min(x["n"][d] for d in run) < 20 or min(x["rest"][d] for d in run) < 20:
                    break
                q = 1 - sum(x["y"][d] for d in run) / sum(x["e"][d] for d in run)
                if q < min_loss or any(x["loss"][d] < q / 2 for d in run):
                    continue
                score = sum(x["u"][d] for d in run)
                if score < min_score * x["s"] * sqrt(sum(x["w"][d] for d in run)) * 0.999:
                    continue  # g is at least 1
                g = g or spread(step, shape, leaves)
                if score / sqrt(x["s"] ** 2 * sum(x["w"][d] * g[d] ** 2 for d in run)) < min_score:
                    continue
                gain = sum(x["u"][d] ** 2 / x["w"][d] for d in run)
                key = (-round(gain, 6), number, place, first, length)
                best = min(best or key, key)
    return best


def answer(counts, shape, calendar=(), min_score=8.0, min_loss=0.2):
    """Places of the roots as (step, segment index, first, last)."""
    table = counts.tolist()
    segments = all_segments(shape)
    people = {
        segment: sum(sum(table[leaf][0]) for leaf in leaves_of(shape, segment))
        for segment in segments
    }
    everybody = sum(sum(leaf[0]) for leaf in table)
    eligible = {
        segment
        for segment, count in people.items()
        if count <= 0.85 * everybody
        and (len(segment) == 1 or all(count <= 0.85 * people[part,] for part in segment))
    }
    steps = [
        Step([list(leaf[k]) for leaf in table], [list(leaf[k + 1]) for leaf in table])
        for k in range(counts.shape[1] - 1)
    ]

    def remove(step, segment, first, last):
        for leaf in leaves_of(shape, segments[segment]):
            for day in range(first, last + 1):
                steps[step].entered[leaf][day] = steps[step].passed[leaf][day] = 0

    for place in calendar:
        remove(*place)
    best = {
        k: best_of_step(k, step, shape, eligible, min_score, min_loss)
        for k, step in enumerate(steps)
    }
    found = []
    while len(found) < 6 and any(best.values()):
        _, k, segment, first, length = min(run for run in best.values() if run)
        found.append((k, segment, first, first + length - 1))
        remove(*found[-1])
        best[k] = best_of_step(k, steps[k], shape, eligible, min_score, min_loss)
    return found
