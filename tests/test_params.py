"""What params.yaml may say, and the one line for each thing that it may not."""

import json
from pathlib import Path

import pytest
from dvc.utils.serialize import load_yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline import errors, params, paths, program
from pipeline.errors import InputError
from pipeline.params import Params, load
from pipeline.records import read_yaml
from tests.support import REPOSITORY, suite_params

TEXT = suite_params()
EVALUATE = "evaluate:\n  calibration_bins: 15\n  mistakes: 25\n"

# What params.yaml says, what it says instead, and what the message must contain.
REFUSED = {
    "unknown key": ("epochs:", "epoch:", "train.epoch: unknown key; did you mean epochs?"),
    "unknown section": ("\ntrain:", "\ntrian:", "trian: unknown; did you mean train?"),
    "unknown architecture's section": (
        "\n  cnn:",
        "\n  rnn:",
        "model.rnn: unknown key, expected only name, mlp",
    ),
    "number as key": ("\ndataset:", "\n7: 8\ndataset:", "7: unknown key"),
    "duplicate key": ("name: digits", "name: digits\n  name: mnist", "duplicate key; name; line 4"),
    "missing key": ("  epochs: 2\n", "", "train.epochs: found nothing; from 1 to 10000"),
    "missing section": (EVALUATE, "", "evaluate: found nothing; calibration_bins, mistakes"),
    "section empty": (EVALUATE, "evaluate:\n", "evaluate: found None"),
    "section a number": (
        EVALUATE,
        "evaluate: 3\n",
        "evaluate: found 3; expected a section: calibration_bins, mistakes",
    ),
    "text for a number": ("epochs: 2", "epochs: ten", "train.epochs: found 'ten'; 1 to 10000"),
    "fraction for a count": ("epochs: 2", "epochs: 2.5", "train.epochs: found 2.5"),
    "truth for a number": ("epochs: 2", "epochs: true", "train.epochs: found True"),
    "nothing for a number": ("epochs: 2", "epochs:", "train.epochs: found None"),
    "list for a number": ("epochs: 2", "epochs: [10]", "train.epochs: found [10]"),
    "quoted number": ("epochs: 2", "epochs: '10'", "train.epochs: found '10'"),
    "a time of YAML 1.1": ("epochs: 2", "epochs: 1:30", "train.epochs: found '1:30'"),
    "yes, a truth of YAML 1.1": ("flip: false", "flip: yes", "augment.flip: found 'yes'"),
    "date": ("epochs: 2", "epochs: 2026-11-26", "found datetime.date(2026, 11, 26)"),
    "epochs 0": ("epochs: 2", "epochs: 0", "train.epochs: found 0; 1 to 10000"),
    "epochs negative": ("epochs: 2", "epochs: -1", "train.epochs: found -1"),
    "epochs too many": ("epochs: 2", "epochs: 10001", "train.epochs: found 10001"),
    "5,000 digits": ("epochs: 2", f"epochs: {'1' * 5000}", "is not YAML: ; digits"),
    "5,000 hexadecimal digits": ("epochs: 2", f"epochs: 0x{'1' * 5000}", "thousands of digits"),
    "digits missing": ("epochs: 2", "epochs: 0x_", "is not YAML: invalid literal"),
    "a tag that lies": ("epochs: 2", "epochs: !!int abc", "is not YAML: invalid literal"),
    "10 MB": (
        "epochs: 2",
        f"epochs: {'a' * 10_000_000}",
        "found 10,00; bytes, expected at most 100,000",
    ),
    "deep": ("epochs: 2", f"epochs: {'[' * 3000}{']' * 3000}", "is not YAML: maximum recursion"),
    "alias bomb": (
        "epochs: 2",
        "epochs:\n    a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"    {two}: &{two} [{', '.join([f'*{one}'] * 9)}]\n"
            for one, two in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "train.epochs: found {'a': ['x', 'x', 'x', 'x', ...]; expected a whole number",
    ),
    "list as key": ("epochs: 2", "? [epochs]\n  : 2", "train.('epochs',): unknown key"),
    "no store": (
        "store: local",
        "store: disk",
        "preprocess.store: found 'disk'; s3://bucket/folder",
    ),
    "batch 0": ("batch_size: 32", "batch_size: 0", "train.batch_size: found 0; 1 to 65536"),
    "batch too large": ("batch_size: 32", "batch_size: 65537", "train.batch_size: found 65537"),
    "rate 0": ("rate: 0.01", "rate: 0", "train.learning_rate: found 0; above 0"),
    "rate negative": ("rate: 0.01", "rate: -0.1", "train.learning_rate: found -0.1"),
    "rate NaN": ("rate: 0.01", "rate: .nan", "train.learning_rate: found nan"),
    "rate infinite": ("rate: 0.01", "rate: .inf", "train.learning_rate: found inf"),
    "rate too large": ("rate: 0.01", "rate: 11", "train.learning_rate: found 11; up to 10"),
    "optimizer": ("optimizer: adam", "optimizer: adamw", "train.optimizer: found 'adamw'; sgd"),
    "schedule": ("schedule: cosine", "schedule: step", "train.schedule: found 'step'; constant"),
    "class weights": (
        "weights: none",
        "weights: auto",
        "train.class_weights: found 'auto'; none, or balanced",
    ),
    "seed negative": ("seed: 0", "seed: -1", "preprocess.seed: found -1; 0 to 4294967295"),
    "seed too large": ("seed: 0", "seed: 4294967296", "preprocess.seed: found 4294967296"),
    "share 1.5": ("validation: 0.1", "validation: 1.5", "preprocess.validation: found 1.5; test"),
    "share 0": ("validation: 0.1", "validation: 0", "preprocess.validation: found 0"),
    "share NaN": ("validation: 0.1", "validation: .nan", "preprocess.validation: found nan"),
    "validation a word": ("validation: 0.1", "validation: train", "validation: found 'train'"),
    "model": (
        "name: mlp",
        "name: cn",
        "model.name: found 'cn', expected mlp or; did you mean cnn?",
    ),
    "model a number": ("name: mlp", "name: 3", "model.name: found 3; such as mlp"),
    "units 0": ("\n    - 16", " [0]", "model.cnn.hidden_units[0]: found 0; 1 to 8192"),
    "units too many": ("\n    - 16", " [512, 8193]", "model.cnn.hidden_units[1]: found 8193"),
    "units a number": ("\n    - 16", " 512", "model.cnn.hidden_units: found 512; a list"),
    "too many layers": (
        "\n    - 16",
        f" {[8] * 17}",
        "model.cnn.hidden_units: found [8, 8; up to 16",
    ),
    "no filters": (
        "\n    - 4\n    - 8",
        " []",
        "model.cnn.filters: found []; 1 to 8 whole numbers",
    ),
    "dropout 1": ("dropout: 0.0", "dropout: 1.0", "model.mlp.dropout: found 1.0; below 1"),
    "warm-up too long": (
        "warmup_epochs: 0",
        "warmup_epochs: 2",
        "train.warmup_epochs: found 2; fewer than; 2",
    ),
    "warm-up to a constant": (
        "cosine\n  warmup_epochs: 0",
        "constant\n  warmup_epochs: 1",
        "train.warmup_epochs: found 1; expected 0; train.schedule",
    ),
    "momentum of Adam": (
        "momentum: 0.0",
        "momentum: 0.9",
        "train.momentum: found 0.9; expected 0 where train.optimizer is adam",
    ),
    "Nesterov's without momentum": (
        "nesterov: false",
        "nesterov: true",
        "train.nesterov: found true; expected false where train.momentum is 0",
    ),
    "knots that change places": (
        "elastic: 0.0",
        "elastic: 50",
        "augment.elastic: found 50.0; expected at most augment.elastic_grid, 6: knots",
    ),
    "mistakes 0": ("mistakes: 25", "mistakes: 0", "evaluate.mistakes: found 0; 1 to 100"),
    "bins 0": ("bins: 15", "bins: 0", "evaluate.calibration_bins: found 0; 1 to 1000"),
    "floor above 1": ("floor: 0.5", "floor: 97.5", "gate.floor: found 97.5; from 0 to 1"),
    "floor NaN": ("floor: 0.5", "floor: .nan", "gate.floor: found nan"),
    "class floor above 1": (": {}", ': {"8": 95}', "gate.class_floors: found 95; class names"),
    "class a number": (": {}", ": {8: 0.9}", "gate.class_floors[8]: found 8; in quotes"),
    "class floors a number": (": {}", ": 0.95", "gate.class_floors: found 0.95"),
    "margin negative": ("margin: 0.05", "margin: -0.1", "gate.margin: found -0.1"),
    "margin NaN": ("margin: 0.05", "margin: .nan", "gate.margin: found nan"),
    "confidence 1": ("confidence: 0.95", "confidence: 1", "gate.confidence: found 1; below 1"),
    "confidence of a coin": ("confidence: 0.95", "confidence: 0.3", "gate.confidence: found 0.3"),
    "escapes": ("name: mlp", r'name: "\e[2J\n"', r"model.name: found '\x1b[2J\n'"),
    "not YAML": ("dataset:\n", "dataset: [\n", "is not YAML: line"),
    "tab": ("  name: digits", "\tname: digits", "is not YAML: line"),
    "unknown tag": ("epochs: 2", "epochs: !!python/object:os.system 10", "is not YAML: line"),
    "two documents": ("\ntrain:", "\n---\ntrain:", "is not YAML: line"),
    "empty": (TEXT, "", "found nothing; dataset, preprocess, model, train, augment, evaluate"),
    "a list": (TEXT, "- 1\n", "found a list"),
    "a word": (TEXT, "hello\n", "found a str"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, message = REFUSED[case]
    assert old in TEXT
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train"])
    paths.PARAMS.write_text(TEXT.replace(old, new, 1))

    with pytest.raises(SystemExit) as end:
        program.run_stage("train", "Test.", lambda _: pytest.fail("the stage ran"))

    assert end.value.code == errors.InputError.exit_code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert len(output.err) < 300
    assert output.err.startswith("train: params.yaml: ")
    for part in message.split("; "):
        assert part in output.err


@pytest.mark.parametrize(("key", "off", "on"), [("keep", "last", "best"), ("patience", "0", "3")])
def test_the_test_images_choose_nothing(key: str, off: str, on: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    changed = TEXT.replace(f"  {key}: {off}\n", f"  {key}: {on}\n")
    path.write_text(changed)
    load(path)
    path.write_text(changed.replace("validation: 0.1", "validation: test"))
    with pytest.raises(InputError) as error:
        load(path)
    assert str(error.value) == (
        f"{path}: train.{key}: found {on}, expected {off} where preprocess.validation is test: "
        f"test images must not choose the model"
    )


def test_a_line_for_each_thing(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace("epochs: 2", "epochs: 0").replace("mistakes: 25", "mistakes: 0"))
    with pytest.raises(InputError) as error:
        load(path)
    assert [line.split(": ")[1] for line in str(error.value).splitlines()] == [
        "train.epochs",
        "evaluate.mistakes",
    ]


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_unreadable(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.InputError, match=r"params.yaml: "):
        load(path)


def test_the_repository_s_file_is_allowed() -> None:
    assert load(REPOSITORY / paths.PARAMS).model_dump().keys() == Params.model_fields.keys()


@pytest.mark.parametrize(
    ("old", "new", "key", "value"),
    [
        ("0.01", "1e-3", "train.learning_rate", 0.001),
        ("0.01", "1", "train.learning_rate", 1.0),
        ("seed: 0", "seed: 042", "preprocess.seed", 42),  # not 34, as in YAML 1.1
        ("seed: 0", "seed: 0o12", "preprocess.seed", 10),
        ("epochs: 2", "epochs: 010", "train.epochs", 10),
        ("0.1", "5000", "preprocess.validation", 5000),
        ("0.1", "test", "preprocess.validation", "test"),
    ],
)
def test_allowed(old: str, new: str, key: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace(old, new, 1))
    section, name = key.split(".")
    assert load(path).model_dump()[section][name] == value


def test_the_settings_are_those_of_the_chosen_architecture(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace("name: mlp", "name: cnn"))
    assert load(path).model.settings.model_dump() == {
        "filters": [4, 8],
        "convolutions": 1,
        "pooling": "flatten",
        "hidden_units": [16],
        "dropout": 0.0,
    }


def same(one: object, other: object) -> bool:
    """Equal, types included, and NaN to itself."""
    return repr(one) == repr(other)


scalars = st.one_of(
    st.text(alphabet="0123456789+-_.:eExXoObBaAfF", max_size=12),
    st.text(alphabet="~nulNULtrueTRUEfalseFALSEyesnoYNonOF=<", max_size=6),
    st.text(max_size=8),
    st.integers().map(str),
    st.floats().map(str),
    st.dates().map(str),
    st.datetimes().map(str),
    st.from_regex(r"[-+]?0[0-9box_]{0,4}[0-9a-f_]{0,4}(\.[0-9_]{0,3})?(e[-+]?[0-9]{1,2})?\Z"),
    st.from_regex(r"!!(int|float|bool|str|null|timestamp) [-+0-9a-z.:_]{0,8}\Z"),
)


@given(scalars)
def test_params_are_read_as_dvc_reads_them(
    tmp_path_factory: pytest.TempPathFactory, scalar: str
) -> None:
    path = tmp_path_factory.mktemp("yaml") / "params.yaml"
    content = f"key: {scalar}\n".encode(errors="replace")
    path.write_bytes(content)
    try:
        theirs = load_yaml(str(path))
    except Exception as error:  # noqa: BLE001, whatever DVC lets through
        theirs = error
    try:
        ours = read_yaml(content, "params.yaml")
    except InputError:
        assert isinstance(theirs, Exception)
    else:
        assert same(ours or {}, theirs)


def test_the_schema_describes_every_key() -> None:
    definitions = json.loads(params.schema())["$defs"]
    for definition in definitions.values():
        for field in definition["properties"].values():
            assert "description" in field or "$ref" in field
            for bound in ("minimum", "maximum", "exclusiveMinimum", "maxItems"):
                if bound in field:
                    assert f"{field[bound]:g}" in field["description"].replace(
                        "4294967295", "4.29497e+09"
                    )
            for choice in field.get("enum", []):
                assert str(choice) in field["description"]
