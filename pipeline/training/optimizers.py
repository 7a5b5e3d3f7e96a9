"""What `train` in params.yaml makes of an optimizer and a loss."""

import math
from typing import Any

import keras

from pipeline.params import Train

NOT_DECAYED = ["bias", "beta", "gamma"]  # weights that shift and scale


def make_loss(label_smoothing: float) -> keras.losses.Loss:
    """Cross-entropy of labels, (N,), and logits, (N, classes), smoothed as by Szegedy et al.

    (Rethinking the Inception Architecture, CVPR 2016.) Keras smooths one-hot targets only.
    """
    if not label_smoothing:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def smoothed(labels: Any, logits: Any) -> Any:  # noqa: ANN401, tensors
        targets = keras.ops.one_hot(keras.ops.reshape(labels, (-1,)), logits.shape[-1])
        return keras.losses.categorical_crossentropy(
            targets, logits, from_logits=True, label_smoothing=label_smoothing
        )

    return smoothed


def make_optimizer(params: Train, images: int) -> keras.optimizers.Optimizer:
    """The optimizer, with its learning rate for each step of epochs of `images` images."""
    rounded = math.floor if params.drop_last else math.ceil
    steps = rounded(images / params.batch_size)  # per epoch
    rate: float | keras.optimizers.schedules.LearningRateSchedule = params.learning_rate
    if params.schedule == "cosine":
        warmup = params.warmup_epochs * steps
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else params.learning_rate,
            decay_steps=params.epochs * steps - warmup,
            warmup_target=params.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    optimizers = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
    optimizer = optimizers[params.optimizer](rate, weight_decay=params.weight_decay or None)
    if params.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return optimizer
