"""Environment variables, configuration files and other packages that could change what runs."""

from tests.faults.fault import Fault, shell, stage, write
from tests.support import Workspace

SAME = "validation images"  # and the same bytes, as for every fault that ends with 0

WITHOUT_SETUP = "-o .venv/.ready -o params.schema.json"
VARIABLES = {
    "KERAS_MAX_EPOCHS=1 would end the training": {"KERAS_MAX_EPOCHS": "1"},
    "KERAS_MAX_STEPS_PER_EPOCH=1 would shorten an epoch": {"KERAS_MAX_STEPS_PER_EPOCH": "1"},
    "KERAS_BACKEND names another backend": {"KERAS_BACKEND": "jax"},
    "TF_ENABLE_ONEDNN_OPTS=0 would choose other kernels": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "XLA_FLAGS has a flag that XLA does not know": {"XLA_FLAGS": "--xla_nonsense=1"},
    "TF_NUM_INTRAOP_THREADS=1 would add up in another order": {"TF_NUM_INTRAOP_THREADS": "1"},
    "TF_CONFIG names a cluster": {"TF_CONFIG": '{"cluster": {"worker": ["localhost:9"]}}'},
    "PYTHONHASHSEED differs": {"PYTHONHASHSEED": "12345"},
    "the locale and the time zone differ": {"LC_ALL": "C", "TZ": "Asia/Tokyo"},
}


def _keras_json(workspace: Workspace) -> None:
    own = '{"floatx": "float64", "image_data_format": "channels_first", "backend": "tensorflow"}'
    write("home/.keras/keras.json", own)(workspace)


def _another_pipeline(workspace: Workspace) -> None:
    """A package of the same name elsewhere, which would report success and do nothing."""
    for name in ("download", "preprocess", "train", "evaluate"):
        write(f"other/pipeline/{name}.py", "print('another pipeline')\n")(workspace)
    write("other/pipeline/__init__.py", "")(workspace)


FAULTS = [
    *(
        Fault(
            f"train: {what}",
            stage("train"),
            0,
            SAME,
            variables=variables,
            nightly="KERAS_MAX_EPOCHS" not in variables,
        )
        for what, variables in VARIABLES.items()
    ),
    Fault(
        "train: ~/.keras/keras.json wants 64-bit floats and channels first",
        f"HOME=$PWD/home {stage('train')}",
        0,
        SAME,
        _keras_json,
        undo=shell("rm -r home"),
    ),
    Fault(
        "dvc repro: PYTHONSAFEPATH=1 hides the folder from Python",
        "PYTHONSAFEPATH=1 dvc repro --force preprocess",
        0,
        "images of 8x8 pixels",
    ),
    Fault(
        "dvc repro: PYTHONPATH has another package `pipeline`",
        "PYTHONSAFEPATH=1 PYTHONPATH=$PWD/other dvc repro --force preprocess",
        0,
        "images of 8x8 pixels",
        _another_pipeline,
        undo=shell("rm -r other"),
    ),
    Fault(
        "make: a variable contains a command",
        f"make {WITHOUT_SETUP} gate BASELINE='$(shell touch harm)`touch harm`'; code=$?; "
        "test ! -e harm && exit $code",
        2,
        "git knows no such commit",
    ),
    Fault(
        "dvc: a package `dvc` lies beside the pipeline",
        "python -m pipeline.gate --baseline HEAD~1 --allow-missing-baseline",
        0,
        "UNGATED, ACCEPT by the floors alone",
        write("dvc/__main__.py", "raise SystemExit('another dvc')\n"),
        undo=shell("rm -r dvc"),
    ),
]
