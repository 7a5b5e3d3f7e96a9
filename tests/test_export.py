"""The model exported: what is written, what is refused, and the examples of docs/use.md."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.artifacts import keras_bytes
from pipeline.data.split import Split
from pipeline.export import FORMATS, Parity
from pipeline.formats import onnx, savedmodel
from pipeline.training import backend
from tests.servers import json_server
from tests.support import REPOSITORY, Start, Workspace

CONCERNED = ("docs/use.md", "pipeline/export.py", "pipeline/formats", "requirements")
NAMES = tuple(map(str, range(10)))
ABOUT = {"class_names": NAMES, "largest_pixel": 16, "prepare": "pad"}  # of a model
WITHOUT_SETUP = "-o .venv/.ready -o params.schema.json"
AGREEMENT = {"float32": "1", "float16": "0.98", "int8": "0.5"}  # of an untrained network, on noise
CASES = [  # format, precision, shape of an image
    pytest.param(
        *(kind, precision, shape),
        marks=[pytest.mark.nightly] if precision == "float16" or len(shape) > 2 else [],
    )
    for kind, form in FORMATS.items()
    for precision in form.PRECISIONS
    for shape in ((9, 7), (9, 7, 3))
    if precision == "float32" or len(shape) == 2
]


def require(kind: str) -> None:
    for package in FORMATS[kind].PACKAGES:
        pytest.importorskip(package, reason="requirements-export.lock is not installed")


def test_parity_counts_answers_and_differences() -> None:
    parity = Parity()
    before = np.array([[0.0, 0.0, np.log(2)], [9, 0, 0], [0, 9, 0]])  # of 3 images
    after = np.array([[0, 0, np.log(2)], [0, 0, 9], [0, 9, 0]], np.float32)
    parity.add(before, after, np.array([2, 2, 0], np.uint8))
    parity.add(before[:1], np.zeros((1, 3), np.float32), np.array([0], np.uint8))
    assert (parity.total, parity.same, parity.right, parity.right_before) == (4, 2, 3, 1)
    assert parity.largest == pytest.approx(1, abs=1e-3)
    assert (
        "2 of 4 answers are those of the model, a probability differs by 1 at most" in f"{parity}"
    )


@pytest.fixture
def here(reproduced: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and the test images."""
    for path in ("models/model.keras", "data/processed/test"):
        source, target = reproduced.root / path, tmp_path / path
        target.parent.mkdir(parents=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_saved_model_is_replaced_but_nothing_else(here: Path, start: Start) -> None:
    for _ in range(2):
        code, output, errors = start("pipeline.export", "--format", "savedmodel")
        assert (code, errors) == (0, "")
        assert re.match(r"models/saved_model: SavedModel, float32, [\d,]+ bytes\n", output)
        assert "\n360 of 360 answers are those of the model" in output
        assert sorted(path.name for path in (here / "models").iterdir()) == [
            "model.keras",
            "saved_model",
        ]
    about = savedmodel.about(here / "models/saved_model")
    assert (about["class_names"], about["largest_pixel"]) == ([*NAMES], 16)
    (here / "models/saved_model/notes.txt").write_text("mine")
    code, _, errors = start("pipeline.export", "--format", "savedmodel")
    assert code == 2
    assert "models/saved_model: exists and was not made by this program" in errors
    assert (here / "models/saved_model/notes.txt").read_text() == "mine"


REFUSED = {
    "no weights in fewer bits": (
        ("savedmodel", "--quantize", "int8"),
        "--quantize: found int8, but the weights of a SavedModel stay float32",
    ),
    "another format": (("pickle",), "argument --format: invalid choice: 'pickle'"),
    "a share beyond 1": (
        ("savedmodel", "--agreement", "99"),
        "argument --agreement: found '99', expected a number from 0 to 1",
    ),
    "a name without its suffix": (
        ("litert", "--out", "models"),
        "--out: found models, expected a name that ends in .tflite",
    ),
    "the model itself": (
        ("savedmodel", "--out", "models/model.keras"),
        "models/model.keras: exists and was not made by this program",
    ),
    "everything": (
        ("savedmodel", "--out", "."),
        ".: exists and was not made by this program",
    ),
    "no model": (("savedmodel", "--model", "none.keras"), "none.keras: no such file"),
    "another dataset": (
        ("savedmodel", "--model", "other.keras"),
        "data/processed/test: found images of the classes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, expected",
    ),
    "a model of nobody": (
        ("savedmodel", "--model", "plain.keras"),
        "plain.keras: does not say its classes, or how pictures are prepared for it",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, here: Path, start: Start) -> None:
    save(here / "other.keras", network("mlp", (8, 8)), **(ABOUT | {"class_names": ["a", "b"]}))
    save(here / "plain.keras", network("mlp", (8, 8)))
    (kind, *arguments), message = REFUSED[case]
    code, _, errors = start("pipeline.export", "--format", kind, *arguments)
    assert code == 2
    assert errors.startswith(f"export: {message}")
    assert errors.count("\n") == 1
    assert [path.name for path in (here / "models").iterdir()] == ["model.keras"]


def test_without_test_images(here: Path, start: Start) -> None:
    shutil.rmtree(here / "data")
    code, _, errors = start("pipeline.export", "--format", "savedmodel")
    assert code == 2
    assert re.fullmatch(
        "export: data/processed/test: cannot be read .*; the exported file is checked on the test "
        "images, which dvc repro makes\n",
        errors,
    )


@pytest.mark.parametrize("kind", ["litert", "onnx"])
@pytest.mark.usefixtures("here")
def test_without_the_converters(kind: str, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in FORMATS[kind].PACKAGES:
        monkeypatch.setitem(sys.modules, package, None)
    code, _, errors = start("pipeline.export", "--format", kind)
    packages = ", ".join(FORMATS[kind].PACKAGES)
    found = f"{FORMATS[kind].NAME} requires packages that are not installed ({packages})"
    assert (code, errors) == (2, f"export: {found}; install them: make extras\n")


def network(name: str, shape: tuple[int, ...]) -> Any:  # noqa: ANN401, Keras has no types
    """A network with random weights for 10 classes, its averages of batches included."""
    backend.start()
    from pipeline.training import models

    settings: dict[str, Any] = {"hidden_units": [16], "dropout": 0.2}
    if name == "cnn":
        settings["filters"] = [4, 8]
    made = models.MODELS[name](shape, 10, 1 / 16, **settings)
    generator = np.random.default_rng(0)
    for variable in made.variables:
        positive = 1 if "variance" in variable.path else 0
        variable.assign(generator.uniform(-0.5, 0.5, variable.shape) + positive)
    return made


def save(path: Path, made: Any, **about: object) -> None:  # noqa: ANN401
    path.write_bytes(keras_bytes(made, about))


@pytest.mark.long(*CONCERNED)
@pytest.mark.parametrize(("kind", "precision", "shape"), CASES)
def test_the_same_answers_and_bytes_in_any_process(
    kind: str, precision: str, shape: tuple[int, ...], workspace: Workspace
) -> None:
    require(kind)
    images = np.random.default_rng(1).integers(0, 17, (300, *shape), np.uint8)
    shutil.rmtree(workspace.root / "data/processed/test")
    Split(images, np.arange(300, dtype=np.uint16) % 10, NAMES, 16).save(
        workspace.root / "data/processed/test"
    )
    save(workspace.root / "own.keras", network("cnn", shape), **ABOUT)
    form, made = FORMATS[kind], []
    for seed in "12":
        workspace.variables = {"PYTHONHASHSEED": seed}
        out = f"exports/{seed}{form.SUFFIX}"
        quantize = () if precision == "float32" else ("--quantize", precision)
        done = workspace.module(
            *("pipeline.export", "--format", kind, *quantize, "--model", "own.keras"),
            *("--out", out, "--agreement", AGREEMENT[precision]),
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"{out}: {form.NAME}, {precision}, ")
        made.append(workspace.root / out)
    assert form.about(made[0]) == ABOUT | {"class_names": [*NAMES], "producer": "mnist-pipeline"}
    assert form.load(made[0])(images[:1]).shape == (1, 10)
    if made[0].is_file():
        assert made[0].read_bytes() == made[1].read_bytes()


@pytest.mark.long(*CONCERNED)
@pytest.mark.parametrize("kind", ["litert", "onnx"])
def test_other_answers_are_not_written(kind: str, here: Path, start: Start) -> None:
    require(kind)
    made = network("mlp", (8, 8))
    weights = made.get_weights()
    weights[-2] = 1 + np.linspace(0, 1e-4, weights[-2].size).reshape(weights[-2].shape)
    made.set_weights([*weights[:-1], np.zeros(10)])  # in float16 all classes are alike
    save(here / "narrow.keras", made, **ABOUT)
    arguments = ("pipeline.export", "--format", kind, "--model", "narrow.keras")
    code, _, errors = start(*arguments, "--quantize", "float16")
    assert code == 4
    assert errors.count("\n") == 1
    assert "; expected all to be the same, so models/model-float16." in errors
    code, _, errors = start(*arguments, "--quantize", "float16", "--agreement", "0.25")
    assert code == 4
    assert "; expected at least 0.25 of them to be the same" in errors
    assert [path.name for path in (here / "models").iterdir()] == ["model.keras"]
    assert start(*arguments)[0] == 0


@pytest.mark.long(*CONCERNED)
@pytest.mark.parametrize(("kind", "suffix"), [("litert", ".tflite"), ("onnx", ".onnx")])
def test_files_of_others_are_left_alone(kind: str, suffix: str, here: Path, start: Start) -> None:
    require(kind)
    target = here / f"models/model{suffix}"
    target.write_bytes(b"mine")
    code, _, errors = start("pipeline.export", "--format", kind)
    assert code == 2
    assert f"{target.relative_to(here)}: exists and was not made by this program" in errors
    assert target.read_bytes() == b"mine"
    target.unlink()
    assert [start("pipeline.export", "--format", kind)[0] for _ in range(2)] == [0, 0]


def sections() -> dict[str, dict[str, list[str]]]:
    """The blocks of docs/use.md by heading and language."""
    parts = re.split(r"^#+ (.*)\n", (REPOSITORY / "docs/use.md").read_text(), flags=re.MULTILINE)
    found: dict[str, dict[str, list[str]]] = {}
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        blocks = re.findall(r"^```(\w*)\n(.*?)^```", body, re.DOTALL | re.MULTILINE)
        found[heading] = {}
        for language, block in blocks:
            found[heading].setdefault(language, []).append(block)
    return found


PAGE = sections()
SERVERS = {"TensorFlow Serving": "savedmodel", "Triton": "onnx"}
EXPORTS = {"LiteRT": "litert", "ONNX": "onnx", "SavedModel": "savedmodel", **SERVERS}


@pytest.fixture(scope="module")
def exported(reproduced: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace to which the examples export."""
    workspace = reproduced.copy(tmp_path_factory.mktemp("exported") / "repository")
    workspace.variables = {"no_proxy": "127.0.0.1"}
    return workspace


def run_commands(workspace: Workspace, heading: str) -> None:
    """Runs the commands of a section, but for those of servers."""
    for line in "".join(PAGE[heading]["sh"]).replace("\\\n", "").splitlines():
        if line.startswith(("make ", "python ")):
            workspace.run(*line.replace("make ", f"make {WITHOUT_SETUP} ").split())
        else:
            assert line.startswith("docker run ")


def run_python(workspace: Workspace, heading: str, **other: str) -> str:
    """What the Python of a section prints."""
    (code,) = PAGE[heading]["python"]
    for old, new in other.items():
        code = code.replace(old, new)
    return workspace.run("python", "-W", "error::UserWarning", "-c", code).stdout


def committed(workspace: Workspace) -> list[str]:
    """The answers in predictions.csv."""
    with (workspace.root / "metrics/predictions.csv").open() as file:
        return [row["predicted"] for row in csv.DictReader(file)]


@pytest.mark.long(*CONCERNED)
def test_the_lock_of_the_export_is_installed_here(workspace: Workspace) -> None:
    require("litert")
    (command,) = PAGE["Export the model"]["sh"]
    workspace.variables = {"PIP_NO_INDEX": "1"}
    assert "Successfully installed" not in workspace.run("bash", "-ec", command).stdout


@pytest.mark.long(*CONCERNED)
@pytest.mark.parametrize("heading", ["LiteRT", "ONNX", "SavedModel"])
def test_the_examples_in_python(heading: str, exported: Workspace) -> None:
    require(EXPORTS[heading])
    run_commands(exported, heading)
    assert run_python(exported, heading) == f"{committed(exported)[:5]}\n"
    assert exported.run("git", "status", "--porcelain").stdout == ""


@pytest.mark.nightly
@pytest.mark.long(*CONCERNED)
def test_the_example_in_javascript(exported: Workspace, tmp_path: Path) -> None:
    require("onnx")
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    install = ("npm", "install", "--no-audit", "--no-fund", "--prefix", tmp_path, "onnxruntime-web")
    installed = subprocess.run(install, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"npm's registry does not serve onnxruntime-web: {installed.stderr[-200:]}")
    run_commands(exported, "ONNX")
    for name in ("models", "data"):
        (tmp_path / name).symlink_to(exported.root / name)
    (code,) = PAGE["ONNX"]["js"]
    (tmp_path / "classify.mjs").write_text(code)
    answers = Workspace(tmp_path).run("node", "classify.mjs").stdout.split()
    assert answers == committed(exported)


@pytest.mark.long(*CONCERNED)
def test_the_request_to_tensorflow_serving(exported: Workspace) -> None:
    run_commands(exported, "TensorFlow Serving")
    compute = savedmodel.load(exported.root / "models/serving/1")

    def answer(path: str, body: Any) -> object:  # noqa: ANN401, any JSON
        assert path == "/v1/models/classifier:predict"
        return {"predictions": compute(np.array(body["instances"], np.uint8)).tolist()}

    with json_server(answer) as port:
        printed = run_python(exported, "TensorFlow Serving", **{"localhost:8501": here_at(port)})
    assert printed.strip("[]\n").split() == committed(exported)[:5]


@pytest.mark.long(*CONCERNED)
def test_triton_gets_the_names_types_and_shapes_of_the_file(exported: Workspace) -> None:
    require("onnx")
    run_commands(exported, "Triton")
    layout, config = PAGE["Triton"][""]
    model = exported.root / "models/triton/classifier/1/model.onnx"
    assert str(model.relative_to(exported.root)) in layout.splitlines()
    assert declared(config.replace("28, 28", "8, 8")) == tensors(model)
    compute = onnx.load(model)

    def answer(path: str, body: Any) -> object:  # noqa: ANN401, any JSON
        assert path == "/v2/models/classifier/infer"
        (pixels,) = body["inputs"]
        assert (pixels["name"], pixels["datatype"]) == ("pixels", "UINT8")
        logits = compute(np.array(pixels["data"], np.uint8).reshape(pixels["shape"]))
        shape, data = list(logits.shape), logits.ravel().tolist()
        return {"outputs": [{"name": "logits", "datatype": "FP32", "shape": shape, "data": data}]}

    with json_server(answer) as port:
        printed = run_python(exported, "Triton", **{"localhost:8000": here_at(port)})
    assert printed.strip("[]\n").split() == committed(exported)[:5]


def here_at(port: int) -> str:
    return f"127.0.0.1:{port}"


Tensors = dict[str, tuple[str, str, list[int]]]  # by name: input or output, type, shape


def declared(config: str) -> Tensors:
    """What a config.pbtxt says."""
    pattern = r'(input|output) \[ \{ name: "(\w+)" data_type: (\w+) dims: (\[.*?\]) \} \]'
    return {
        name: (kind, type_, json.loads(dims))
        for kind, name, type_, dims in re.findall(pattern, config)
    }


def tensors(model: Path) -> Tensors:
    """What an ONNX file has, without the dimension of the batch."""
    from onnxruntime import InferenceSession

    session = InferenceSession(model)
    types = {"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32"}
    return {
        one.name: (kind, types[one.type], one.shape[1:])
        for kind, ones in (("input", session.get_inputs()), ("output", session.get_outputs()))
        for one in ones
    }
