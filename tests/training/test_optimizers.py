"""What params.yaml makes of an optimizer and a loss."""

import math
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.params import Train
from pipeline.training.optimizers import Cosine, balanced, make_loss, make_optimizer

DEFAULTS = {
    "epochs": 10,
    "batch_size": 32,
    "shards": 1,
    "drop_last": False,
    "optimizer": "sgd",
    "momentum": 0.0,
    "nesterov": False,
    "learning_rate": 0.1,
    "schedule": "constant",
    "warmup_epochs": 0,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "average": 0.0,
    "keep": "last",
    "patience": 0,
    "class_weights": "none",
    "seed": 0,
}


def test_balanced_class_weights_by_hand() -> None:
    # Six images, three of the four classes have some: 6/(3*3), 6/(3*2), none, 6/(3*1).
    labels = np.array([0, 0, 0, 1, 1, 3], np.uint16)
    weights = balanced(labels, 4)
    np.testing.assert_allclose(weights, [2 / 3, 1, 0, 2])
    assert weights[labels].mean() == pytest.approx(1)


def optimizer(**changes: float | str) -> keras.optimizers.Optimizer:
    """For 100 images: 4 steps of up to 32 an epoch, 40 steps in all."""
    return make_optimizer(Train.model_validate(DEFAULTS | changes), 100)


@pytest.mark.parametrize(("name", "kind"), [("adam", "Adam"), ("sgd", "SGD")])
def test_the_optimizer(name: str, kind: str) -> None:
    assert type(optimizer(optimizer=name)).__name__ == kind
    assert float(optimizer(optimizer=name).learning_rate) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("changes", "step", "rate"),
    [
        ({}, 0, 0.1),
        ({}, 20, 0.05),
        ({}, 40, 0),
        ({"drop_last": True}, 15, 0.05),  # 3 steps an epoch
        ({"warmup_epochs": 2}, 0, 0),
        ({"warmup_epochs": 2}, 4, 0.05),
        ({"warmup_epochs": 2}, 8, 0.1),
        ({"warmup_epochs": 2}, 24, 0.05),
        ({"warmup_epochs": 2}, 40, 0),
    ],
)
def test_a_cosine_schedule(changes: dict[str, int | bool], step: int, rate: float) -> None:
    made = optimizer(schedule="cosine", **changes)
    made.iterations.assign(step)
    assert float(made.learning_rate) == pytest.approx(rate, abs=1e-7)


@pytest.mark.parametrize(
    ("nesterov", "steps"),
    [
        (False, [0.1, 0.1 + 0.05]),  # the rate times the gradient, 1, and half of the last step
        (True, [0.1 + 0.05, 0.1 + 0.5 * 0.15]),  # and the next half at once
    ],
)
def test_momentum(nesterov: bool, steps: list[float]) -> None:
    made = optimizer(momentum=0.5, nesterov=nesterov)
    weight = keras.Variable([1.0])
    made.build([weight])
    for step in steps:
        before = weight.numpy()
        made.apply([np.ones(1, np.float32)], [weight])
        assert before - weight.numpy() == pytest.approx(step)


@pytest.mark.parametrize(("warmup", "decay"), [(0, 31), (7, 31), (100, 1688)])
@pytest.mark.parametrize("rate", [0.001, 0.1])
def test_a_cosine_schedule_is_keras_own_to_the_bit(rate: float, warmup: int, decay: int) -> None:
    schedules = keras.optimizers.schedules
    keras_own = (
        schedules.CosineDecay(0.0, decay, warmup_target=rate, warmup_steps=warmup)
        if warmup
        else schedules.CosineDecay(rate, decay)
    )
    steps = warmup + decay + 3

    def rates(schedule: Callable[[tf.Tensor], tf.Tensor]) -> NDArray[np.float32]:
        def write(step: tf.Tensor, found: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            return step + 1, found.write(step, schedule(step))

        def trace() -> tf.Tensor:
            empty = tf.TensorArray(tf.float32, steps)
            return tf.while_loop(lambda step, _: step < steps, write, (0, empty))[1].stack()

        return np.asarray(tf.function(trace, jit_compile=True)())

    np.testing.assert_array_equal(rates(Cosine(rate, warmup, decay)), rates(keras_own))


def test_weights_decay_and_biases_do_not() -> None:
    dense = keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones")
    dense.build((None, 1))
    made = optimizer(weight_decay=0.5)
    made.build(dense.trainable_variables)
    made.apply([np.zeros((1, 1), np.float32), np.zeros(1, np.float32)], dense.trainable_variables)
    assert dense.kernel.numpy() == pytest.approx(1 - 0.1 * 0.5)
    assert dense.bias.numpy() == 1


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss(smoothing: float) -> None:
    logits = np.log([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]).astype(np.float32)
    labels = np.array([0, 1], np.uint8)
    # A share `smoothing` of the target goes to the three classes alike.
    true, other = 1 - smoothing + smoothing / 3, smoothing / 3
    first = -(true * math.log(0.5) + 2 * other * math.log(0.25))
    second = -(true * math.log(0.8) + 2 * other * math.log(0.1))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Identity()])
    model.compile(loss=make_loss(smoothing))
    found = model.evaluate(logits, labels, verbose=0)
    assert found == pytest.approx((first + second) / 2, rel=1e-5)
