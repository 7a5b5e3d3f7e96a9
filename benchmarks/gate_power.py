"""Measures how often the gate errs, on simulated or real pairs of models.

Without arguments it simulates, prints the tables of docs/gate.md and draws docs/gate.png, the same
bytes every time. With commits, whose models differ only in their seed, it compares the predictions
of every two.

The simulation: image i is misclassified with probability p_i, the same for all models of a kind,
independently of other images; p_i follows a beta distribution. A model is better or worse than its
kind by a normal amount on the probit scale. The three numbers of `Spread`, measured on real models,
determine the beta distribution and that amount.

For the other metrics, on uneven classes: image i is misclassified with probability Φ(m + 2·xᵢ),
where m depends on its class, and xᵢ is standard normal and the same for both models. What it is
taken for is drawn once, by the sizes of the classes. The second model has a larger m. New images
are drawn for each pair.
"""

import argparse
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from scipy.stats import beta, norm

from pipeline import figures
from pipeline.artifacts import png_bytes, write_files
from pipeline.errors import InputError
from pipeline.gate import results
from pipeline.gate.judge import source_of
from pipeline.gate.statistics import (
    INFLUENCES,
    discordant,
    drop_upper_bound,
    sum_upper_bound,
)
from pipeline.program import Parser, run
from pipeline.records import Predictions
from pipeline.repository import Commit
from pipeline.score import METRICS

PICTURE = Path("docs/gate.png")
IMAGES = 10_000
PAIRS = 2_000
MARGIN, CONFIDENCE = 0.005, 0.95  # what docs/gate.md is about
DROPS = np.arange(13) / 800  # 0 to 1.5 points
FALSELY = 0.05  # share of equally good models that it may reject, as specified
NEGLIGIBLE = 1e-7  # probability of an error below which an image is left out


@dataclass(frozen=True)
class Spread:
    """How models of one kind differ if only their seeds do."""

    accuracy: float  # mean
    deviation: float  # standard deviation of the accuracy
    discordant: float  # mean number of images, b + c, that exactly one of two gets right
    about: str  # whose it is


# Twelve seeds each of the network in params.yaml, 784-512-10, ten epochs on MNIST; docs/gate.md has
# the commands. The second has the deviation of 0.11 points that the gate was specified for.
SPREADS = {
    "cosine schedule, 0.05": Spread(0.98377, 0.00053, 59, "784-512-10, cosine schedule"),
    "specified, 0.11": Spread(0.97975, 0.0011, 176, "what the gate was made for"),
    "constant rate, 0.13": Spread(0.97975, 0.00129, 176, "784-512-10, constant rate"),
}


def rejected(
    spread: Spread,
    drop: float,
    pairs: int,
    generator: np.random.Generator,
    *,
    margin: float,
    confidence: float,
) -> float:
    """The share of simulated pairs that the gate rejects.

    Args:
        spread: of both models.
        drop: by how much the expected accuracy of the second is lower.
        pairs: how many to simulate.
        generator: of random numbers.
        margin: gate.margin.
        confidence: gate.confidence.
    """
    b, c = simulate(spread, drop, pairs, generator)
    return float((drop_upper_bound(b, c, IMAGES, confidence) > margin).mean())


def simulate(
    spread: Spread, drop: float, pairs: int, generator: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Simulated pairs of models: b and c, (pairs,) each, see `pipeline.gate.statistics`."""
    probit = ndtri(error_probabilities(spread))
    binomial = spread.discordant / 2  # variance of a model's errors that its images alone cause
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
    probabilities: NDArray[np.float64] = beta.ppf(quantiles, mean * total, (1 - mean) * total)
    return probabilities


def curves(pairs: int, *, margin: float, confidence: float) -> dict[str, list[float]]:
    """The share of rejected pairs for each kind of models, at each of DROPS."""
    return {
        name: [
            rejected(
                spread,
                drop,
                pairs,
                np.random.Generator(np.random.Philox(key=number)),
                margin=margin,
                confidence=confidence,
            )
            for number, drop in enumerate(DROPS)
        ]
        for name, spread in SPREADS.items()
    }


@dataclass(frozen=True)
class Uneven:
    """A test set of uneven classes, and how often a model errs in each."""

    images: tuple[int, ...]
    errors: tuple[float, ...]  # shares, expected of the first model

    def harder(self, by: float) -> NDArray[np.float64]:
        """The expected errors, (C,), of a model that errs more, `by` on the probit scale."""
        errors: NDArray[np.float64] = ndtr(ndtri(self.errors) + by)
        return errors

    def confusion(self, errors: NDArray[np.float64]) -> NDArray[np.float64]:
        """(C, C) images expected by actual and predicted class."""
        images = np.array(self.images)
        others = np.tile(images / images.sum(), (len(images), 1))
        own = np.diag(others).copy()  # is drawn, too: then the next class takes its place
        others[range(len(images)), range(len(images))] = 0
        others[range(len(images)), np.roll(range(len(images)), -1)] += own
        counts: NDArray[np.float64] = others * (errors * images)[:, np.newaxis]
        return counts + np.diag((1 - errors) * images)


# The smallest class has more images than gate.verdict.FEW, and fewer.
UNEVEN = {
    "3,000 to 60 images": Uneven((3_000, 1_500, 600, 200, 60), (0.01, 0.02, 0.03, 0.05, 0.08)),
    "400 to 10 images": Uneven((400, 100, 30, 10), (0.01, 0.02, 0.04, 0.08)),
}
UNEVEN_MARGIN = 0.02
UNEVEN_DROPS = (0.0, 0.01, 0.02, 0.03, 0.04)
DIFFICULTY = 2.0  # standard deviation of the images of a class, on the probit scale


def expected_value(metric: str, confusion: NDArray[np.float64]) -> float:
    """The balanced accuracy or the macro F1 of a confusion matrix, (C, C)."""
    right, images = np.diag(confusion), confusion.sum(axis=1)
    both = images if metric == "balanced_accuracy" else (images + confusion.sum(axis=0)) / 2
    return float((right / both).mean())


def rejected_of_uneven(
    metric: str,
    test: Uneven,
    drop: float,
    pairs: int,
    generator: np.random.Generator,
    *,
    margin: float,
    confidence: float,
) -> float:
    """The share of simulated pairs that the gate rejects where classes are uneven.

    Args:
        metric: gate.metric.
        test: how many images there are, and how often the first model errs.
        drop: by how much the metric of the second model is lower.
        pairs: how many to simulate.
        generator: of random numbers.
        margin: gate.margin.
        confidence: gate.confidence.
    """

    def lost(by: float) -> float:
        matrices = (test.confusion(test.harder(shift)) for shift in (0.0, by))
        before, after = (expected_value(metric, matrix) for matrix in matrices)
        return before - after

    shift = brentq(lambda by: lost(by) - drop, 0, 2) if drop else 0.0
    classes = len(test.images)
    labels = np.repeat(np.arange(classes), test.images)
    shares = np.array(test.images) / len(labels)
    scale = np.sqrt(1 + DIFFICULTY**2)
    means = [scale * ndtri(test.harder(by))[labels] for by in (0.0, shift)]
    rejections = 0
    for _ in range(pairs):
        difficulty = DIFFICULTY * generator.standard_normal(len(labels))
        other = generator.choice(classes, len(labels), p=shares)
        other = np.where(other == labels, (other + 1) % classes, other)
        models = [
            np.where(generator.random(len(labels)) < ndtr(mean + difficulty), other, labels)
            for mean in means
        ]
        found = [Predictions(labels, model, np.ones(len(labels))) for model in models]
        values = [METRICS[metric](one, classes) for one in found]
        influences = [INFLUENCES[metric](labels, model, classes) for model in models]
        terms = influences[0] - influences[1]
        rejections += sum_upper_bound(values[0] - values[1], terms, confidence) > margin
    return rejections / pairs


def uneven_table(pairs: int, confidence: float) -> str:
    """The share of rejected pairs by metric and test set, at each of UNEVEN_DROPS, as Markdown."""
    lines = [
        f"| classes | metric | {' | '.join(f'{100 * drop:g}' for drop in UNEVEN_DROPS)} |",
        f"|---|---|{'---|' * len(UNEVEN_DROPS)}",
    ]
    for name, test in UNEVEN.items():
        for metric in INFLUENCES:
            row = [
                rejected_of_uneven(
                    metric,
                    test,
                    drop,
                    pairs,
                    np.random.Generator(np.random.Philox(key=number)),
                    margin=UNEVEN_MARGIN,
                    confidence=confidence,
                )
                for number, drop in enumerate(UNEVEN_DROPS)
            ]
            shares = " | ".join(f"{share:.1%}" for share in row)
            lines.append(f"| {name} | `{metric}` | {shares} |")
    return "\n".join(lines) + "\n"


def table(shares: dict[str, list[float]]) -> str:
    """`curves` as Markdown."""
    lines = [
        f"| true drop, points | {' | '.join(shares)} |",
        f"|---|{'---|' * len(shares)}",
    ]
    for drop, *row in zip(DROPS, *shares.values(), strict=True):
        lines.append(f"| {100 * drop:g} | {' | '.join(f'{share:.1%}' for share in row)} |")
    return "\n".join(lines) + "\n"


def draw(shares: dict[str, list[float]], margin: float) -> Figure:
    """`curves` as a picture."""
    figure = Figure(figsize=(9, 4.8))
    axes = figure.subplots()
    for (name, row), marker in zip(shares.items(), "osD", strict=True):
        axes.plot(
            100 * DROPS,
            [100 * share for share in row],
            marker=marker,
            markersize=4,
            label=f"{100 * SPREADS[name].deviation:.2f} points: {SPREADS[name].about}",
        )
    axes.axvline(100 * margin, color="0.6", linewidth=1, linestyle="--")
    axes.text(100 * margin, 50, f" gate.margin, {100 * margin:g} points", color="0.3", fontsize=9)
    axes.axhline(100 * FALSELY, color="0.6", linewidth=1, linestyle=":")
    axes.text(
        100 * DROPS[-1],
        100 * FALSELY + 1,
        f"at most {FALSELY:.0%} of models that are no worse (at 0) should be rejected",
        ha="right",
        color="0.3",
        fontsize=9,
    )
    axes.set(
        title=f"How often the gate rejects a model, of {PAIRS:,} simulated pairs at each point",
        xlabel="by how much the new model is worse, percentage points of accuracy",
        ylabel="rejected",
    )
    axes.yaxis.set_major_formatter(PercentFormatter(100))
    axes.grid(alpha=0.3)
    axes.legend(
        frameon=False,
        title="Accuracy varies by seed with a\nstandard deviation of",
        alignment="left",
        loc="center right",
    )
    return figure


def compare_commits(names: list[str], *, margin: float, confidence: float) -> str:
    """Every one of these models as the baseline of every other, in two lines.

    Raises:
        InputError: two of them have other test images.
    """
    models = [results.load(source_of(Commit(name, name))).predictions for name in names]
    labels = models[0].labels
    for name, model in zip(names, models, strict=True):
        if model.labels.tolist() != labels.tolist():
            raise InputError(f"{name}: its test images are not those of {names[0]}")
    pairs = [
        tuple(map(len, discordant(labels, one.predicted, other.predicted)))
        for one, other in permutations(models, 2)
    ]
    b, c = np.array(pairs).T
    above = drop_upper_bound(b, c, len(labels), confidence) > margin
    accuracy = np.array([model.correct.mean() for model in models])
    return (
        f"{len(models)} models, accuracy {accuracy.mean():.3%}, standard deviation "
        f"{100 * accuracy.std(ddof=1):.3f} points, {accuracy.min():.2%} to {accuracy.max():.2%}\n"
        f"{len(pairs)} ordered pairs, discordant images {(b + c).mean():.0f} ({(b + c).min()} to "
        f"{(b + c).max()}), {above.sum()} rejected, {above.mean():.1%}\n"
    )


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("benchmarks.gate_power", __doc__)
    arguments.add_argument("commits", nargs="*", metavar="REV", help="two or more, to compare")
    for name, value in (("margin", MARGIN), ("confidence", CONFIDENCE)):
        arguments.add_argument(
            f"--{name}", type=float, default=value, help=f"gate.{name} (default: %(default)s)"
        )
    return arguments


def main(options: argparse.Namespace) -> None:
    """Simulates, or compares the given commits."""
    limits = {"margin": options.margin, "confidence": options.confidence}
    if options.commits:
        print(compare_commits(options.commits, **limits), end="")
        return
    shares = curves(PAIRS, **limits)
    print(table(shares))
    print(uneven_table(PAIRS, options.confidence), end="")
    with figures.style():
        write_files({PICTURE: png_bytes(draw(shares, options.margin))})


if __name__ == "__main__":
    run(parser(), main)
