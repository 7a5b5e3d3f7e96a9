"""How often the gate errs: simulated pairs of models, and real ones trained with other seeds.

`python -m benchmarks.gate_power` simulates, prints the tables of docs/gate.md and draws
docs/gate.png; the same bytes every time. `python -m benchmarks.gate_power REV...` holds the
predictions of git revisions, models that differ in their seed alone, against each other.

The simulation: image i is taken for another class with probability p_i, the same for all models of
a kind, independently of other images; p_i follows a beta distribution. A model is better or worse
than its kind by a normal amount on the probit scale. The three numbers of `Spread`, measured on
real models, fix the beta distribution and that amount. Over several seeds, the accuracies of a kind
are normal.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from scipy.stats import beta, norm

from pipeline import figures, params, paths, results
from pipeline.artifacts import write_png
from pipeline.compare import discordant, drop_upper_bound, mean_drop_upper_bound
from pipeline.params import Gate
from pipeline.revision import Revision

PICTURE = Path("docs/gate.png")
IMAGES = 10_000
PAIRS = 2_000
SEEDS = 5  # of each side, where gate.seeds is above 1
DROPS = np.arange(13) / 800  # 0 to 1.5 points
NEGLIGIBLE = 1e-7  # probability of an error below which an image is left out


@dataclass(frozen=True)
class Spread:
    """How models of one kind differ that were trained with different seeds."""

    accuracy: float  # mean
    deviation: float  # standard deviation of the accuracy
    discordant: float  # mean number of images, b + c, that one of two gets right


# Twelve seeds each of the network in params.yaml, 784-512-10, ten epochs on MNIST; docs/gate.md has
# the commands. The second has the deviation of 0.11 points that the gate was specified for.
SPREADS = {
    "cosine schedule, 0.05": Spread(0.98377, 0.00053, 59),
    "specified, 0.11": Spread(0.97975, 0.0011, 176),
    "constant rate, 0.13": Spread(0.97975, 0.00129, 176),
}


def rejected(
    spread: Spread, drop: float, pairs: int, limits: Gate, generator: np.random.Generator
) -> float:
    """The share of simulated pairs that the margin rejects.

    Args:
        spread: of both models.
        drop: by how much the expected accuracy of the second is lower.
        pairs: how many to simulate.
        limits: margin and confidence.
        generator: of random numbers.
    """
    b, c = simulate(spread, drop, pairs, generator)
    bound = drop_upper_bound(b, c, IMAGES, limits.confidence)
    return float((bound > limits.margin).mean())


def rejected_means(
    spread: Spread, drop: float, pairs: int, limits: Gate, generator: np.random.Generator
) -> float:
    """The same of pairs of means over SEEDS seeds, by `gate.margin_seeds`."""
    baseline = generator.normal(spread.accuracy, spread.deviation, (pairs, SEEDS))
    candidate = generator.normal(spread.accuracy - drop, spread.deviation, (pairs, SEEDS))
    bounds = np.array(
        [
            mean_drop_upper_bound(one, other, limits.confidence)
            for one, other in zip(baseline, candidate, strict=True)
        ]
    )
    return float((bounds > limits.margin_seeds).mean())


def simulate(
    spread: Spread, drop: float, pairs: int, generator: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """How many images the first, and the second, of two models alone gets right, (pairs,) each."""
    probit = ndtri(error_probabilities(spread))
    binomial = spread.discordant / 2  # variance of the errors of one model, from its images alone
    slope = norm.pdf(probit).sum()  # errors by probit
    ability = np.sqrt(max(0, (spread.deviation * IMAGES) ** 2 - binomial)) / slope
    probit = probit[ndtr(probit + 1) > NEGLIGIBLE]
    expected = ndtr(probit).sum() + drop * IMAGES
    shift = brentq(lambda by: ndtr(probit + by).sum() - expected, -0.5, 3) if drop else 0.0
    b, c = np.zeros(pairs, np.intp), np.zeros(pairs, np.intp)
    for pair in range(pairs):
        first, second = generator.normal(0, ability, size=2)
        was_wrong = generator.random(len(probit)) < ndtr(probit + first)
        is_wrong = generator.random(len(probit)) < ndtr(probit + shift + second)
        b[pair], c[pair] = (is_wrong & ~was_wrong).sum(), (was_wrong & ~is_wrong).sum()
    return b, c


def error_probabilities(spread: Spread) -> NDArray[np.float64]:
    """p_i of each image, (IMAGES,): the quantiles of a beta distribution.

    With mean m, and 2·Σ p(1 - p) discordant images expected between two models, E[p²]/E[p] is
    r = 1 - discordant/(2·m·IMAGES), and that of Beta(m·s, (1 - m)·s) is (m·s + 1)/(s + 1).
    """
    mean = 1 - spread.accuracy
    ratio = 1 - spread.discordant / (2 * mean * IMAGES)
    total = (1 - ratio) / (ratio - mean)
    quantiles = (np.arange(IMAGES) + 0.5) / IMAGES
    found: NDArray[np.float64] = beta.ppf(quantiles, mean * total, (1 - mean) * total)
    return found


def curves(reject: Callable[..., float], pairs: int, limits: Gate) -> dict[str, list[float]]:
    """The share of pairs of each spread at each of DROPS that `reject` finds."""
    return {
        name: [
            reject(spread, drop, pairs, limits, np.random.Generator(np.random.Philox(key=number)))
            for number, drop in enumerate(DROPS)
        ]
        for name, spread in SPREADS.items()
    }


def table(shares: dict[str, list[float]]) -> str:
    """`curves` as Markdown."""
    lines = [
        f"| true drop, points | {' | '.join(shares)} |",
        f"|---|{'---|' * len(shares)}",
    ]
    for drop, *row in zip(DROPS, *shares.values(), strict=True):
        lines.append(f"| {100 * drop:g} | {' | '.join(f'{share:.1%}' for share in row)} |")
    return "\n".join(lines) + "\n"


def draw(shares: dict[str, list[float]], limits: Gate) -> Figure:
    """`curves` as a picture."""
    figure = Figure(figsize=(8, 4.2))
    axes = figure.subplots()
    for name, row in shares.items():
        axes.plot(100 * DROPS, [100 * share for share in row], marker="o", markersize=3, label=name)
    axes.axvline(100 * limits.margin, color="0.6", linewidth=1, linestyle="--")
    axes.text(100 * limits.margin, 2, " margin", color="0.4", fontsize=9)
    axes.axhline(5, color="0.6", linewidth=1, linestyle=":")
    axes.set(
        title=f"How often the gate rejects, of {PAIRS:,} simulated pairs",
        xlabel="true drop in accuracy, percentage points",
        ylabel="rejected, %",
    )
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, title="spread by seed, points", alignment="left")
    return figure


def compare_revisions(names: list[str], limits: Gate) -> str:
    """Every one of these models as baseline of every other, in a line."""
    models = [results.load(Revision(n, n).read, n, "name another") for n in names]
    labels = models[0].labels
    for name, model in zip(names, models, strict=True):
        if model.labels.tolist() != labels.tolist():
            sys.exit(f"{name}: other test images than those of {names[0]}")
    pairs = [
        tuple(map(len, discordant(labels, one.predicted, other.predicted)))
        for one, other in permutations(models, 2)
    ]
    b, c = np.array(pairs).T
    above = drop_upper_bound(b, c, len(labels), limits.confidence) > limits.margin
    accuracy = np.array([model.accuracy for model in models])
    return (
        f"{len(models)} models, accuracy {accuracy.mean():.3%}, standard deviation "
        f"{100 * accuracy.std(ddof=1):.3f} points, {accuracy.min():.2%} to {accuracy.max():.2%}\n"
        f"{len(pairs)} ordered pairs, discordant images {(b + c).mean():.0f} ({(b + c).min()} to "
        f"{(b + c).max()}), {above.sum()} rejected, {above.mean():.1%}\n"
    )


def main(names: list[str]) -> None:
    """Simulates, or compares the revisions that are named."""
    limits = params.load(paths.PARAMS).gate
    if names:
        print(compare_revisions(names, limits), end="")
        return
    shares = curves(rejected, PAIRS, limits)
    print(table(shares))
    print(table(curves(rejected_means, PAIRS, limits)), end="")
    with figures.style():
        write_png(PICTURE, draw(shares, limits))


if __name__ == "__main__":
    main(sys.argv[1:])
