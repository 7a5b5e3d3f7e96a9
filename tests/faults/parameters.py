"""params.yaml is not what it should be. tests/test_params.py has 80 more."""

from tests.faults.fault import Fault, change, nothing, remove, setting, shell, stage, write

RESTORE = shell("git restore params.yaml")


def _edited(what: str, old: str, new: str, line: str, command: str = stage("preprocess")) -> Fault:
    return Fault(
        what,
        command,
        2,
        f"params.yaml: {line}",
        change("params.yaml", lambda content: content.replace(old.encode(), new.encode(), 1)),
        undo=RESTORE,
    )


FAULTS = [
    _edited(
        "any stage: a key is misspelt",
        "epochs:",
        "epoch:",
        "train.epoch: unknown key, expected only epochs, batch_size",
    ),
    _edited(
        "any stage: a value is out of its range",
        "epochs: 2",
        "epochs: -1",
        "train.epochs: found -1, expected a whole number from 1 to 10000",
    ),
    _edited(
        "any stage: a key appears twice",
        "epochs: 2",
        "epochs: 2\n  epochs: 3",
        "is not YAML: line",
    ),
    _edited(
        "any stage: a merge conflict was left in it",
        "train:",
        "<<<<<<< HEAD\ntrain:",
        "is not YAML: line",
    ),
    _edited(
        "any stage: a value would fill the screen",
        "name: digits",
        f"name: [{'x, ' * 5000}]",
        "dataset.name: found ['x', 'x', 'x', 'x', ...], expected the name of a folder",
    ),
    _edited(
        "any stage: a value has escapes of a terminal",
        "name: digits",
        'name: "\\e[2J\\e[1mdigits"',
        "dataset.name: found '\\x1b[2J\\x1b[1mdigits', expected a folder in data/sources",
    ),
    _edited(
        "download: there is no such dataset",
        "name: digits",
        "name: digit",
        "dataset.name: found 'digit', expected a folder in data/sources, such as bloodmnist",
        stage("download"),
    ),
    _edited(
        "preprocess: too many images would be held out",
        "validation: 0.1",
        "validation: 1437",
        "preprocess.validation: found 1437, which is 1,437 of 1,437 images; expected a number",
    ),
    Fault(
        "train: a batch is larger than the training set, and smaller batches are skipped",
        stage("train"),
        2,
        "train.batch_size: found 2000, expected at most the 1293 training images where train.drop",
        setting(train__batch_size=2000, train__drop_last=True),
        undo=RESTORE,
    ),
    Fault(
        "any stage: params.yaml is missing",
        stage("preprocess"),
        2,
        "params.yaml: cannot be read (No such file or directory); run from the repository's folder",
        remove("params.yaml"),
        undo=RESTORE,
    ),
    Fault(
        "any stage: params.yaml is not text",
        stage("preprocess"),
        2,
        "params.yaml: is not YAML",
        write("params.yaml", b"\xff\xfe"),
        undo=RESTORE,
    ),
    Fault(
        "any stage: it is run outside the repository",
        "cd /tmp && PYTHONPATH=$OLDPWD python -m pipeline.preprocess",
        2,
        "params.yaml: cannot be read (No such file or directory); run from the repository's folder",
        nothing,
    ),
    Fault(
        "train: the loss is not finite, because the learning rate is too large",
        stage("train"),
        5,
        "loss is nan after epoch 1; lower train.learning_rate in params.yaml",
        setting(
            train__optimizer="sgd",
            train__learning_rate=10,
            model__mlp__hidden_units=[512, 512, 512, 512],
        ),
        undo=RESTORE,
    ),
]
