import runpy
from pathlib import Path

import pytest

from pipeline import errors, paths, stage
from pipeline.params import Params, load

TEXT = """
dataset:
  name: mnist
preprocess:
  validation: 0.1
  seed: 0
model:
  name: mlp
  filters: []
  hidden_units: [512]
  dropout: 0.0
train:
  epochs: 10
  batch_size: 32
  drop_last: false
  optimizer: adam
  learning_rate: 0.001
  schedule: cosine
  warmup_epochs: 0
  weight_decay: 0.0
  label_smoothing: 0.0
  seed: 0
augment:
  shift: 0
  rotation: 0.0
  zoom: 0.0
  flip: false
gate:
  floor: 0.975
  class_floors: {"8": 0.95}
  margin: 0.005
  confidence: 0.95
  seeds: 1
  margin_seeds: 0.003
evaluate:
  calibration_bins: 15
  mistakes: 25
"""

# What stands in params.yaml, what stands there instead, and what the message must name.
REFUSED = {
    "unknown key": ("epochs:", "epoch:", "train.epoch: unknown key; did you mean epochs?"),
    "unknown section": ("\ntrain:", "\ntrian:", "trian: unknown; did you mean train?"),
    "number as key": ("\ndataset:", "\n7: 8\ndataset:", "7: unknown key"),
    "key twice": ("name: mnist", "name: mnist\n  name: digits", "name stands twice; line 4"),
    "missing key": ("  epochs: 10\n", "", "train.epochs: found nothing; from 1 to 10000"),
    "missing section": (
        "evaluate:\n  calibration_bins: 15\n  mistakes: 25\n",
        "",
        "evaluate: found nothing; calibration_bins, mistakes",
    ),
    "section empty": (TEXT[TEXT.index("evaluate:") :], "evaluate:\n", "evaluate: found None"),
    "section a number": (
        TEXT[TEXT.index("evaluate:") :],
        "evaluate: 3\n",
        "evaluate: found 3; expected a section: calibration_bins, mistakes",
    ),
    "text for a number": ("epochs: 10", "epochs: ten", "train.epochs: found 'ten'; 1 to 10000"),
    "fraction for a count": ("epochs: 10", "epochs: 10.5", "train.epochs: found 10.5"),
    "truth for a number": ("epochs: 10", "epochs: true", "train.epochs: found True"),
    "nothing for a number": ("epochs: 10", "epochs:", "train.epochs: found None"),
    "list for a number": ("epochs: 10", "epochs: [10]", "train.epochs: found [10]"),
    "quoted number": ("epochs: 10", "epochs: '10'", "train.epochs: found '10'"),
    "epochs 0": ("epochs: 10", "epochs: 0", "train.epochs: found 0; 1 to 10000"),
    "epochs negative": ("epochs: 10", "epochs: -1", "train.epochs: found -1"),
    "epochs too many": ("epochs: 10", "epochs: 10001", "train.epochs: found 10001"),
    "batch 0": ("batch_size: 32", "batch_size: 0", "train.batch_size: found 0; 1 to 65536"),
    "batch too large": ("batch_size: 32", "batch_size: 65537", "train.batch_size: found 65537"),
    "rate 0": ("rate: 0.001", "rate: 0", "train.learning_rate: found 0; above 0"),
    "rate negative": ("rate: 0.001", "rate: -0.1", "train.learning_rate: found -0.1"),
    "rate NaN": ("rate: 0.001", "rate: .nan", "train.learning_rate: found nan"),
    "rate infinite": ("rate: 0.001", "rate: .inf", "train.learning_rate: found inf"),
    "rate too large": ("rate: 0.001", "rate: 11", "train.learning_rate: found 11; up to 10"),
    "optimizer": ("optimizer: adam", "optimizer: adamw", "train.optimizer: found 'adamw'; sgd"),
    "schedule": ("schedule: cosine", "schedule: step", "train.schedule: found 'step'; constant"),
    "seed negative": ("seed: 0", "seed: -1", "preprocess.seed: found -1; 0 to 4294967295"),
    "seed too large": ("seed: 0", "seed: 4294967296", "preprocess.seed: found 4294967296"),
    "share 1.5": ("validation: 0.1", "validation: 1.5", "preprocess.validation: found 1.5; test"),
    "share 0": ("validation: 0.1", "validation: 0", "preprocess.validation: found 0"),
    "share NaN": ("validation: 0.1", "validation: .nan", "preprocess.validation: found nan"),
    "validation a word": ("validation: 0.1", "validation: train", "validation: found 'train'"),
    "model": ("name: mlp", "name: rnn", "model.name: found 'rnn'; mlp"),
    "units 0": ("[512]", "[0]", "model.hidden_units[0]: found 0; 1 to 8192"),
    "units too many": ("[512]", "[512, 8193]", "model.hidden_units[1]: found 8193"),
    "units a number": ("[512]", "512", "model.hidden_units: found 512; a list"),
    "too many layers": ("[512]", f"{[8] * 17}", "model.hidden_units: found [8, 8; up to 16"),
    "warm-up too long": (
        "warmup_epochs: 0",
        "warmup_epochs: 10",
        "train.warmup_epochs: found 10; fewer than; 10",
    ),
    "warm-up to a constant": (
        "cosine\n  warmup_epochs: 0",
        "constant\n  warmup_epochs: 2",
        "train.warmup_epochs: found 2; expected 0; train.schedule",
    ),
    "mistakes 0": ("mistakes: 25", "mistakes: 0", "evaluate.mistakes: found 0; 1 to 100"),
    "bins 0": ("bins: 15", "bins: 0", "evaluate.calibration_bins: found 0; 1 to 1000"),
    "floor above 1": ("floor: 0.975", "floor: 97.5", "gate.floor: found 97.5; from 0 to 1"),
    "floor NaN": ("floor: 0.975", "floor: .nan", "gate.floor: found nan"),
    "class floor above 1": ("0.95}", "95}", "gate.class_floors: found 95; class names"),
    "class a number": ('"8": 0.95', "8: 0.95", "gate.class_floors[8]: found 8; in quotes"),
    "class floors a number": ('{"8": 0.95}', "0.95", "gate.class_floors: found 0.95"),
    "margin negative": ("margin: 0.005", "margin: -0.1", "gate.margin: found -0.1"),
    "margin NaN": ("margin: 0.005", "margin: .nan", "gate.margin: found nan"),
    "confidence 1": ("confidence: 0.95", "confidence: 1", "gate.confidence: found 1; below 1"),
    "seeds 0": ("seeds: 1", "seeds: 0", "gate.seeds: found 0; from 1 to 100"),
    "margin of seeds in points": (
        "margin_seeds: 0.003",
        "margin_seeds: 3",
        "gate.margin_seeds: found 3; from 0 to 1",
    ),
    "confidence of a coin": ("confidence: 0.95", "confidence: 0.3", "gate.confidence: found 0.3"),
    "not YAML": ("dataset:\n", "dataset: [\n", "is not YAML"),
    "tab": ("  name: mnist", "\tname: mnist", "is not YAML"),
    "unknown tag": ("10", "!!python/object:os.system 10", "is not YAML"),
    "empty": (TEXT, "", "holds nothing; dataset, preprocess, model, train, augment, evaluate"),
    "a list": (TEXT, "- 1\n", "holds a list"),
    "a word": (TEXT, "hello\n", "holds a str"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, message = REFUSED[case]
    assert old in TEXT
    monkeypatch.chdir(tmp_path)
    paths.PARAMS.write_text(TEXT.replace(old, new, 1))

    with pytest.raises(SystemExit) as end:
        stage.run("train", lambda _: pytest.fail("the stage ran"))

    assert end.value.code == errors.InputError.exit_code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert output.err.startswith("train: params.yaml: ")
    for part in message.split("; "):
        assert part in output.err


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_unreadable(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.InputError, match=r"params.yaml: "):
        load(path)


def test_the_repository_s_file_is_allowed() -> None:
    assert load(paths.PARAMS).model_dump().keys() == Params.model_fields.keys()


@pytest.mark.parametrize(
    ("old", "new", "key", "value"),
    [
        ("0.001", "1e-3", "train.learning_rate", 0.001),  # a text to YAML 1.1, a number to DVC
        ("0.001", "1", "train.learning_rate", 1.0),
        ("[512]", "[]", "model.hidden_units", []),
        ("0.1", "5000", "preprocess.validation", 5000),
        ("0.1", "test", "preprocess.validation", "test"),
    ],
)
def test_allowed(old: str, new: str, key: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace(old, new, 1))
    section, name = key.split(".")
    assert load(path).model_dump()[section][name] == value


def test_schema_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(RuntimeWarning, match="found in sys.modules"):
        runpy.run_module("pipeline.params", run_name="__main__")
    assert Path("params.schema.json").read_text() == capsys.readouterr().out


def test_descriptions_state_the_ranges() -> None:
    for definition in Params.model_json_schema()["$defs"].values():
        for field in definition["properties"].values():
            for bound in ("minimum", "maximum", "exclusiveMinimum", "maxItems"):
                if bound in field and (bound, field[bound]) != ("maxItems", 0):
                    assert f"{field[bound]:g}" in field["description"].replace(
                        "4294967295", "4.29497e+09"
                    )
            for choice in [*field.get("enum", []), field.get("const", "")]:
                assert choice in field["description"]


def test_every_key_has_a_comment() -> None:
    lines = paths.PARAMS.read_text().splitlines()
    commented = {line.split(":")[0].strip(" #") for line in lines if " # " in line}
    sections = Params.model_json_schema()["$defs"].values()
    assert commented == {name for section in sections for name in section["properties"]}
