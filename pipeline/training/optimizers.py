"""What `train` in params.yaml makes of an optimizer, a loss, and what each class counts in it."""

import math
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.params import Train

NOT_DECAYED = ["bias", "beta", "gamma"]  # weights that shift and scale


def make_loss(label_smoothing: float) -> keras.losses.Loss:
    """Cross-entropy of labels, (N,), and logits, (N, classes), smoothed as by Szegedy et al.

    (Rethinking the Inception Architecture, CVPR 2016.) Keras smooths one-hot targets only.
    """
    if not label_smoothing:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return SmoothedCrossentropy(label_smoothing)


class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy with a share of the target spread over all classes."""

    def __init__(self, label_smoothing: float) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def call(self, labels: Any, logits: Any) -> Any:  # noqa: ANN401, tensors
        """(N,) the loss of each example, of labels, (N,), and logits, (N, classes)."""
        targets = keras.ops.one_hot(keras.ops.reshape(labels, (-1,)), logits.shape[-1])
        return keras.losses.categorical_crossentropy(
            targets, logits, from_logits=True, label_smoothing=self.label_smoothing
        )


def balanced(labels: NDArray[np.unsignedinteger[Any]], classes: int) -> NDArray[np.float32]:
    """What an image of each class counts for in the loss, (classes,), if classes are uneven.

    It is N/(C*n), where n of N images are of the class and C classes have images: each class counts
    the same in all, and an image counts 1 on average.

    Source: the weights of King and Zeng, "Logistic Regression in Rare Events Data", Political
    Analysis 9 (2001), 137-163, for classes that should be equally frequent; scikit-learn has them
    as `class_weight="balanced"`.

    Args:
        labels: (N,) the class of each image.
        classes: how many there are; one without images gets 0.
    """
    images = np.bincount(labels, minlength=classes)
    total = len(labels) / np.count_nonzero(images)
    weights = np.divide(total, images, out=np.zeros(classes), where=images > 0)
    return weights.astype(np.float32)


class Cosine(keras.optimizers.schedules.LearningRateSchedule):
    """From 0 up to a rate along a line, then down to 0 along a cosine.

    It is `keras.optimizers.schedules.CosineDecay` (Loshchilov and Hutter, SGDR, ICLR 2017) as XLA
    compiles that, to the bit: XLA multiplies by what it finds to be constant. Here it is variables,
    so that other rates and lengths need no other program.
    """

    def __init__(self, rate: float, warmup: int, decay: int) -> None:
        """Up to `rate` in `warmup` steps, down in `decay` steps."""
        peak, one = np.float32(rate), np.float32(1)
        slope = one / np.float32(warmup) * peak if warmup else 0
        pace = one / np.float32(decay) * np.float32(math.pi)
        self.rate, self.warmup, self.decay, self.slope, self.pace = (
            keras.Variable(value, dtype="float32", trainable=False)
            for value in (rate, warmup, decay, slope, pace)
        )

    def __call__(self, step: Any) -> Any:  # noqa: ANN401, tensors
        """The learning rate of `step`, both ()."""
        number = keras.ops.cast(step, "float32")
        decaying = keras.ops.minimum(number - self.warmup, self.decay)
        decayed = self.rate * (0.5 * (1.0 + keras.ops.cos(self.pace * decaying)))
        return keras.ops.where(number < self.warmup, self.slope * number, decayed)


def make_optimizer(params: Train, images: int) -> keras.optimizers.Optimizer:
    """The optimizer, with its learning rate for each step of epochs of `images` images.

    SGD with momentum is that of Sutskever et al., "On the Importance of Initialization and Momentum
    in Deep Learning", ICML 2013.
    """
    rounded = math.floor if params.drop_last else math.ceil
    steps = rounded(images / params.batch_size)  # per epoch
    rate: float | keras.optimizers.schedules.LearningRateSchedule = params.learning_rate
    if params.schedule == "cosine":
        warmup = params.warmup_epochs * steps
        rate = Cosine(params.learning_rate, warmup, params.epochs * steps - warmup)
    optimizers = {
        "adam": keras.optimizers.Adam,
        "sgd": partial(keras.optimizers.SGD, momentum=params.momentum, nesterov=params.nesterov),
    }
    optimizer = optimizers[params.optimizer](rate, weight_decay=params.weight_decay or None)
    if params.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return optimizer
