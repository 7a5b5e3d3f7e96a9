"""Stage 3: a network trained on data/processed/train, into models/model.keras."""

import hashlib
import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, redirect_stdout
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from pipeline import machine, paths
from pipeline.artifacts import json_bytes, keras_bytes, write_files
from pipeline.cluster import VARIABLE, Cluster, cluster_of
from pipeline.data.split import Split
from pipeline.errors import InputError, TrainingError, advising
from pipeline.params import Augment, Model, Params, Train
from pipeline.program import NO_COMPILE_CACHE, add_compile_option, run_stage
from pipeline.records import HISTORY_COLUMNS, history_bytes
from pipeline.sections import Section
from pipeline.training import backend, compile_cache

if TYPE_CHECKING:
    import keras

    from pipeline.training.checkpoint import Checkpoint
    from pipeline.training.progress import Progress
    from pipeline.training.workers import Workers

LAUNCHER = "TRAIN_LAUNCHER"  # an environment variable: the command that starts all workers
FEW_STEPS = 500  # of Keras's moving averages, in which the initial value then still has 0.7%
MEMORY_SHARE = 0.25  # of the memory: a larger training set is read from disk


class Trained(NamedTuple):
    """What comes out of a training."""

    network: "keras.Model"  # raw pixels to logits
    epoch: int  # from 0, whose weights they are
    about: dict[str, Any]  # what its file says of it: the class names and the largest pixel
    history: dict[str, list[float]]  # loss, accuracy, val_loss, val_accuracy for each that ran
    checkpoint: "Checkpoint | None"  # the last one, to delete once the network is saved
    workers: "Workers"  # that trained it, which wait until the first one lets them go


class Outputs(NamedTuple):
    """The files that `write` writes."""

    model: Path  # `.keras`
    history: Path  # CSV, a row for each epoch
    metrics: Path  # JSON: the values of the kept and of the best epoch, and how many weights
    provenance: Path  # JSON: the processor and the versions that first made this model


def train(
    model: Model,
    params: Train,
    augment: Augment,
    *,
    training: Split,
    validation: Split,
    checkpoints: Path | None = None,
    cluster: Cluster = Cluster(),  # noqa: B008, it is frozen
) -> Trained:
    """Trains a new network. A notebook can call it, too: it reads and writes no file of a stage.

    Args:
        model: what to build.
        params: how to train it.
        augment: how to augment the training images.
        training: what to learn from.
        validation: what to score after every epoch.
        checkpoints: the folder for the state after each epoch, from which a killed run resumes;
            None to save no state.
        cluster: the workers that train it together, of which this process is one. TensorFlow must
            not have been used in it before if there are several.

    Raises:
        InputError: the splits do not fit each other or the parameters; a worker did not start, or
            has others.
        TrainingError: the loss is no longer finite, training ended early, or a worker was lost.
    """
    _check(params, augment, training, validation, cluster)
    compile_cache.start()
    import keras

    from pipeline.training import engine, shards
    from pipeline.training.augment import Augmentation
    from pipeline.training.checkpoint import Checkpoint
    from pipeline.training.optimizers import make_loss, make_optimizer
    from pipeline.training.progress import Progress
    from pipeline.training.selection import Selection
    from pipeline.training.workers import Workers

    workers = Workers(cluster)
    network = build(model, training, params.seed)
    checkpoint = None
    if checkpoints or cluster.count > 1:  # all the code that determines the weights is imported
        identity = _identity((model.settings, params, augment), (training, validation))
        workers.meet(identity)
        if checkpoints and not cluster.rank:
            checkpoint = Checkpoint(checkpoints, identity)
            checkpoint.remove_abandoned()
    print(
        f"{model.name}: {network.count_params():,} weights, "
        f"{len(training.labels):,} training images, {len(validation.labels):,} validation images"
    )
    _warn_of_few_steps(network, params.epochs * -(-len(training.labels) // params.batch_size))
    fit: Callable[..., dict[str, list[float]]] = engine.fit
    if params.shards > 1:
        fit = partial(shards.fit, shards=params.shards, workers=workers)
        print(f"{params.shards} shards, {cluster.count} worker{'s' if cluster.count > 1 else ''}")
    selection = Selection(params.average, params.keep, params.patience)
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: compile_cache.keep())
    with _reporting(Progress(params.epochs), checkpoint) as progress, workers.watched():
        history = fit(
            network,
            training,
            validation,
            optimizer=make_optimizer(params, len(training.labels)),
            loss=make_loss(params.label_smoothing),
            epochs=params.epochs,
            batch_size=params.batch_size,
            seed=params.seed,
            drop_last=params.drop_last,
            augmentation=Augmentation(**augment.model_dump()),
            class_weights=class_weights(params, training),
            selection=selection,
            streamed=training.remote or training.images.nbytes > MEMORY_SHARE * machine.memory(),
            callbacks=[progress, keep],
            checkpoint=checkpoint,
        )
    accuracies = history["val_accuracy"]
    if not selection.ended(accuracies, params.epochs):
        raise TrainingError(
            f"training ended after {len(accuracies)} of {params.epochs} epochs; run it again"
        )
    kept = selection.kept(accuracies)
    if len(accuracies) < params.epochs:
        print(
            f"stopped after epoch {len(accuracies)}: val_accuracy did not rise for "
            f"{params.patience} epochs (train.patience)"
        )
        if params.keep == "last":
            print(f"kept the weights after epoch {kept + 1}; train.keep: best keeps the best")
    if params.keep == "best":
        print(f"kept the weights after epoch {kept + 1}, the best by val_accuracy")
    return Trained(network, kept, training.about, history, checkpoint, workers)


def build(model: Model, training: Split, seed: int) -> "keras.Model":
    """A new network for images and classes like those of `training`: raw pixels to logits.

    Args:
        model: its architecture and settings.
        training: the images that it will learn from.
        seed: determines the initial weights.
    """
    compile_cache.start()
    import keras

    from pipeline.training.models import MODELS

    keras.utils.set_random_seed(seed)
    return MODELS[model.name](
        training.images.shape[1:],
        len(training.class_names),
        1 / max(1, training.largest_pixel),
        **model.settings.model_dump(),
    )


def class_weights(params: Train, training: Split) -> NDArray[np.float32] | None:
    """What an image of each class counts in the loss, (classes,); None if all count the same."""
    if params.class_weights == "none":
        return None
    from pipeline.training.optimizers import balanced

    weights = balanced(training.labels, len(training.class_names))
    print(
        f"class weights from {weights[weights > 0].min():.3g} to {weights.max():.3g}, 1 on average "
        f"over the images: loss is weighted, val_loss is not"
    )
    return weights


def _warn_of_few_steps(network: "keras.Model", steps: int) -> None:
    """Says so if batch normalization has not seen enough when training ends."""
    import keras

    normalized = any(isinstance(one, keras.layers.BatchNormalization) for one in network.layers)
    if normalized and steps < FEW_STEPS:
        print(
            f"{steps:,} steps are few for batch normalization, so validation may lag far behind "
            f"training;\n  more train.epochs or a smaller train.batch_size help"
        )


@contextmanager
def _reporting(progress: "Progress", checkpoint: "Checkpoint | None") -> Iterator["Progress"]:
    """Clears the bar of `progress` after the block, and says if a stopped training can resume."""
    try:
        with closing(progress):
            yield progress
    except (KeyboardInterrupt, SystemExit):
        if checkpoint and checkpoint.path.exists():
            print("stopped; the next dvc repro resumes after the last finished epoch")
        raise


def _check(
    params: Train, augment: Augment, training: Split, validation: Split, cluster: Cluster
) -> None:
    if training.images.shape[1:] != validation.images.shape[1:]:
        raise InputError(
            f"training images are {training.images.shape[1:]}, validation images "
            f"{validation.images.shape[1:]}; run dvc repro"
        )
    side = min(training.images.shape[1:3])
    if augment.erase > side:
        raise InputError(
            f"augment.erase: found {augment.erase}, expected at most {side}, the shorter side of "
            f"the images"
        )
    if params.drop_last and params.batch_size > len(training.labels):
        raise InputError(
            f"train.batch_size: found {params.batch_size}, expected at most the "
            f"{len(training.labels)} training images where train.drop_last is true"
        )
    if params.shards % cluster.count:
        numbers = [str(1 << power) for power in range(params.shards.bit_length())]
        raise InputError(
            f"found {cluster.count} workers, expected {' or '.join(numbers)}, as train.shards is "
            f"{params.shards} in {paths.PARAMS}"
        )


def _identity(sections: tuple[Section, ...], splits: tuple[Split, ...]) -> dict[str, Any]:
    """Everything that determines the weights: parameters, data, and the code imported so far."""
    package = Path(__file__).parent
    loaded = (getattr(module, "__file__", None) for module in [*sys.modules.values()])
    modules = {
        path.relative_to(package).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in map(Path, filter(None, loaded))
        if path.is_relative_to(package) and path.name != "__init__.py"  # they hold no code
    }
    return {
        "params": [[type(section).__name__, section.model_dump()] for section in sections],
        "data": [split.digest() for split in splits],
        "code": modules,
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("keras", "numpy", "tensorflow")}


def write(trained: Trained, outputs: Outputs) -> None:
    """Writes the network and what is known about it, all or nothing."""
    history = trained.history
    accuracies = history["val_accuracy"]
    best = max(range(len(accuracies)), key=accuracies.__getitem__)
    metrics = {
        "final": {name: history[name][trained.epoch] for name in HISTORY_COLUMNS[1:]},
        "best": {"epoch": best + 1, "val_accuracy": accuracies[best]},
        "weights": trained.network.count_params(),
    }
    model = keras_bytes(trained.network, trained.about)
    files = {
        outputs.model: model,
        outputs.history: history_bytes(history),
        outputs.metrics: json_bytes(metrics),
    }
    digest = hashlib.md5(model, usedforsecurity=False).hexdigest()
    if not _describes(outputs.provenance, digest):
        provenance = {
            "model_md5": digest,
            "processor": backend.processor(),
            "versions": _versions(),
        }
        files[outputs.provenance] = json_bytes(provenance)
    write_files(files)


def _describes(provenance: Path, digest: str) -> bool:
    """Whether it is about the same model, made earlier or elsewhere to the same bits."""
    try:
        return bool(json.loads(provenance.read_bytes())["model_md5"] == digest)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def main(params: Params) -> None:
    """Trains as params.yaml says, and writes models/model.keras.

    With other workers if TF_CONFIG names some, of which the first one writes it. If TRAIN_LAUNCHER
    is set, that command takes the place of this process, and starts all of them.
    """
    if LAUNCHER in os.environ:
        _launch(os.environ[LAUNCHER])
    cluster = cluster_of(os.environ)
    if cluster.rank and "DVC_STAGE" in os.environ:
        raise InputError(
            f"{VARIABLE} says that this is worker {cluster.rank}, expected worker 0 where DVC runs "
            f"the stage; start the others by python -m pipeline.train"
        )
    with advising("run dvc repro"):
        training, validation = Split.load(paths.TRAIN), Split.load(paths.VALIDATION)
    with (
        nullcontext() if cluster.count > 1 else _once_more_without_cache(),
        redirect_stdout(io.StringIO()) if cluster.rank else nullcontext(),
    ):
        trained = train(
            params.model,
            params.train,
            params.augment,
            training=training,
            validation=validation,
            checkpoints=paths.CHECKPOINTS,
            cluster=cluster,
        )
    if not cluster.rank:
        write(trained, Outputs(paths.MODEL, paths.HISTORY, paths.TRAIN_METRICS, paths.PROVENANCE))
    if trained.checkpoint:
        trained.checkpoint.remove()
    trained.workers.part_company()


@contextmanager
def _once_more_without_cache() -> Iterator[None]:
    """Starts this program again, without the cache, if TensorFlow may have failed because of it."""
    try:
        yield
    except Exception as error:
        import tensorflow as tf

        if not isinstance(error, tf.errors.OpError) or not compile_cache.in_doubt():
            raise
        print("TensorFlow failed, so all programs are compiled anew", flush=True)
        os.environ[NO_COMPILE_CACHE] = "1"
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606, no shell


def _launch(launcher: str) -> NoReturn:
    """Becomes the command `launcher`, which runs this stage on every worker."""
    environment = {
        name: value for name, value in os.environ.items() if name not in (LAUNCHER, "DVC_STAGE")
    }
    stage = (sys.executable, "-E", "-m", "pipeline.train")
    try:
        command = [*shlex.split(launcher), *stage]
        os.execvpe(command[0], command, environment)  # noqa: S606, no shell
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            f"{LAUNCHER}: found {launcher!r}, expected a command that runs the one after it on "
            f"every worker ({reason})"
        ) from error


if __name__ == "__main__":
    run_stage(
        "train",
        __doc__,
        main,
        [paths.TRAIN, paths.VALIDATION],
        writes=lambda: not cluster_of(os.environ).rank,
        add_options=add_compile_option,
    )
