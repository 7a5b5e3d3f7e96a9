"""How often the gate errs: the simulation of docs/gate.md, with fewer pairs."""

import numpy as np
import pytest

from benchmarks.gate_power import (
    CONFIDENCE,
    DROPS,
    IMAGES,
    MARGIN,
    PAIRS,
    SPREADS,
    UNEVEN,
    UNEVEN_MARGIN,
    error_probabilities,
    expected_value,
    rejected,
    rejected_of_uneven,
    simulate,
)
from pipeline.gate.statistics import INFLUENCES
from tests.support import REPOSITORY

LIMITS = {"margin": MARGIN, "confidence": CONFIDENCE}


def generator(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))


@pytest.mark.parametrize("name", ["cosine schedule, 0.05", "specified, 0.11"])
def test_few_equal_models_are_rejected_and_most_worse_ones_are(name: str) -> None:
    spread = SPREADS[name]
    assert rejected(spread, 0, 1_000, generator(100), **LIMITS) <= 0.05
    assert rejected(spread, 0.0075, 1_000, generator(101), **LIMITS) >= 0.9


@pytest.mark.parametrize("name", SPREADS)
def test_simulated_models_differ_as_the_real_ones_do(name: str) -> None:
    spread = SPREADS[name]
    assert (1 - error_probabilities(spread)).mean() == pytest.approx(spread.accuracy, abs=1e-4)
    b, c = simulate(spread, 0, 500, generator(102))
    assert (b + c).mean() == pytest.approx(spread.discordant, rel=0.03)
    deviation = (b - c).std() / 2**0.5 / IMAGES  # of one model: the two are independent
    assert deviation == pytest.approx(spread.deviation, rel=0.1)
    b, c = simulate(spread, 0.01, 500, generator(103))
    assert (b - c).mean() / IMAGES == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize("name", UNEVEN)
def test_the_expected_counts_are_those_of_the_simulation(name: str) -> None:
    test = UNEVEN[name]
    counts = test.confusion(test.harder(0.0))
    np.testing.assert_allclose(counts.sum(axis=1), test.images)
    shares = np.diag(counts) / test.images
    np.testing.assert_allclose(1 - shares, test.errors)
    assert expected_value("balanced_accuracy", counts) == pytest.approx(shares.mean())
    f1 = 2 * np.diag(counts) / (counts.sum(axis=0) + counts.sum(axis=1))
    assert expected_value("macro_f1", counts) == pytest.approx(f1.mean())


@pytest.mark.parametrize("metric", INFLUENCES)
def test_the_document_says_what_the_simulation_of_uneven_classes_says(metric: str) -> None:
    name = "400 to 10 images"
    share = rejected_of_uneven(
        metric, UNEVEN[name], 0.02, PAIRS, generator(2), margin=UNEVEN_MARGIN, confidence=CONFIDENCE
    )
    (row,) = (
        line
        for line in (REPOSITORY / "docs/gate.md").read_text().splitlines()
        if line.startswith(f"| {name} | `{metric}` |")
    )
    assert row.split(" | ")[4] == f"{share:.1%}"


@pytest.mark.parametrize("number", [0, 3])
def test_the_document_says_what_the_simulation_says(number: int) -> None:
    spread = SPREADS["cosine schedule, 0.05"]
    share = rejected(spread, DROPS[number], PAIRS, generator(number), **LIMITS)
    row = f"\n| {100 * DROPS[number]:g} | {share:.1%} | "
    assert row in (REPOSITORY / "docs/gate.md").read_text()
