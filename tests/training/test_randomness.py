import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.training.randomness import epoch_order
from tests.training.support import stream


@given(st.integers(0, 500), st.integers(0, 10_000), st.integers(0, 2**32 - 1))
def test_an_order_visits_every_image_once(count: int, epoch: int, seed: int) -> None:
    order = epoch_order(count, epoch, seed)
    assert order.dtype == np.int32
    assert sorted(order) == list(range(count))


def test_orders_depend_on_epoch_and_seed() -> None:
    orders = {tuple(epoch_order(20, epoch, seed)) for epoch in range(5) for seed in range(5)}
    assert len(orders) == 25


def test_numbers_follow_from_seed_step_and_place() -> None:
    keys = [
        (seed, step, place) for seed in (0, 1, 2**32 - 1) for step in (0, 1) for place in (0, 1)
    ]
    drawn = {
        key: tuple(stream(*key[:2]).uniform(key[2], (4,)).numpy().tolist())
        for key in [*keys, *keys]
    }
    assert len(set(drawn.values())) == len(keys)
    assert all(0 <= number < 1 for numbers in drawn.values() for number in numbers)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 9), st.sampled_from([0.0, 0.001, 0.25, 0.999, 1.0]))
def test_true_as_often_as_it_is_probable(place: int, probability: float) -> None:
    found = stream().bernoulli(place, probability, (333, 301)).numpy()  # an odd number of them
    deviation = math.sqrt(probability * (1 - probability) / found.size)
    assert found.mean() == pytest.approx(probability, abs=6 * deviation + 2**-17)
