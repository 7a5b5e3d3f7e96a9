import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import backend
from pipeline.split import Split

backend.start()

import keras  # noqa: E402

from pipeline.fit import epoch_order, fit  # noqa: E402
from pipeline.models import MODELS, cnn, mlp  # noqa: E402
from pipeline.noise import Augment  # noqa: E402
from pipeline.params import Params  # noqa: E402

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def images(count: int, seed: int = 0) -> Split:
    """Squares of 4x4 pixels whose class is where they are bright, left or right."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count).astype(np.uint8)
    pixels = generator.integers(0, 128, (count, 4, 4)).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[:, 2 * label : 2 * label + 2] += 100
    return Split(pixels, labels, ("left", "right"))


def network(seed: int = 0, dropout: float = 0.0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return mlp((4, 4), 2, 1 / 255, hidden_units=[8], dropout=dropout)


@given(st.integers(0, 500), st.integers(0, 10_000), st.integers(0, 2**32 - 1))
def test_an_order_visits_every_image_once(count: int, epoch: int, seed: int) -> None:
    order = epoch_order(count, epoch, seed)
    assert order.dtype == np.int32
    assert sorted(order) == list(range(count))


def test_orders_depend_on_epoch_and_seed() -> None:
    orders = {tuple(epoch_order(20, epoch, seed)) for epoch in range(5) for seed in range(5)}
    assert len(orders) == 25


@pytest.mark.parametrize("batch_size", [10, 16, 64])
def test_the_steps_are_those_of_keras(batch_size: int) -> None:
    train, validation = images(50), images(30, seed=1)
    ours, theirs = network(), network()
    history = fit(
        ours,
        train,
        validation,
        optimizer=keras.optimizers.Adam(0.01),
        loss=LOSS,
        epochs=2,
        batch_size=batch_size,
        seed=7,
        callbacks=[],
    )

    theirs.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"])
    for epoch in range(2):
        order = epoch_order(50, epoch, 7)
        totals = np.zeros(2)  # loss and accuracy, summed over the images
        for start in range(0, 50, batch_size):
            batch = order[start : start + batch_size]
            theirs.reset_metrics()
            values = theirs.train_on_batch(train.images[batch], train.labels[batch])
            totals += np.multiply(values, len(batch))
        found = [history["loss"][epoch], history["accuracy"][epoch]]
        np.testing.assert_allclose(found, totals / 50, atol=1e-5)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)
    found = [history["val_loss"][-1], history["val_accuracy"][-1]]
    expected = theirs.evaluate(validation.images, validation.labels, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def trained(*, streamed: bool = False, drop_last: bool = False) -> tuple[list[float], keras.Model]:
    """The losses of a training with all noise, and its network."""
    model = network(dropout=0.25)
    history = fit(
        model,
        images(50),
        images(30, seed=1),
        optimizer=keras.optimizers.Adam(0.01, weight_decay=0.01),
        loss=LOSS,
        epochs=3,
        batch_size=16,
        seed=7,
        drop_last=drop_last,
        augment=Augment(shift=1, rotation=10.0, zoom=0.1, flip=True),
        streamed=streamed,
        callbacks=[],
    )
    return [*history["loss"], *history["val_loss"]], model


@pytest.mark.parametrize("drop_last", [False, True])
def test_from_the_disk_or_from_memory(drop_last: bool) -> None:
    losses, model = trained(drop_last=drop_last)
    streamed_losses, streamed_model = trained(drop_last=drop_last, streamed=True)
    np.testing.assert_allclose(streamed_losses, losses, atol=1e-5)
    for mine, other in zip(model.get_weights(), streamed_model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)


@pytest.mark.parametrize(("drop_last", "steps"), [(False, 4), (True, 3)])
def test_the_last_batch(drop_last: bool, steps: int) -> None:
    optimizer = keras.optimizers.SGD()
    fit(
        network(),
        images(50),
        images(10),
        optimizer=optimizer,
        loss=LOSS,
        epochs=2,
        batch_size=16,
        seed=0,
        drop_last=drop_last,
        callbacks=[],
    )
    assert int(optimizer.iterations) == 2 * steps


def test_the_network_keeps_its_own_layers() -> None:
    _, model = trained()
    assert [type(layer) for layer in model.layers].count(keras.layers.Dropout) == 1
    again = keras.Sequential.from_config(model.get_config())
    again.set_weights(model.get_weights())
    pixels = images(5).images
    np.testing.assert_array_equal(again(pixels), model(pixels))


def test_it_learns() -> None:
    history = fit(
        network(),
        images(200),
        images(100, seed=1),
        optimizer=keras.optimizers.Adam(0.01),
        loss=LOSS,
        epochs=20,
        batch_size=20,
        seed=0,
        callbacks=[],
    )
    assert history["val_accuracy"][-1] > 0.95
    assert history["loss"][-1] < history["loss"][0] / 2


def test_every_model_has_its_parameters() -> None:
    sections = Params.model_json_schema()["$defs"]
    names = {section["properties"].get("name", {}).get("const") for section in sections.values()}
    assert names - {None} == set(MODELS)


@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (3, 5)])
@pytest.mark.parametrize("hidden_units", [[], [4], [16, 16, 16]])
def test_mlp(shape: tuple[int, int], hidden_units: list[int]) -> None:
    built = mlp(shape, 7, 1 / 16, hidden_units=hidden_units, dropout=0.1)
    sizes = [shape[0] * shape[1], *hidden_units, 7]
    weights = sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(sizes))
    assert built.count_params() == weights
    assert built(np.zeros((3, *shape), np.uint8)).shape == (3, 7)


@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (3, 5)])
@pytest.mark.parametrize("filters", [[4], [8, 16, 32]])
def test_cnn(shape: tuple[int, int], filters: list[int]) -> None:
    built = cnn(shape, 7, 1 / 16, filters=filters, hidden_units=[], dropout=0.0)
    height, width = shape
    weights = 0
    for channels, count in pairwise([1, *filters]):
        weights += 9 * channels * count + 4 * count  # the normalization: mean, variance, two more
        height, width = math.ceil(height / 2), math.ceil(width / 2)
    assert built.count_params() == weights + (height * width * filters[-1] + 1) * 7
    assert built(np.zeros((3, *shape), np.uint8)).shape == (3, 7)
