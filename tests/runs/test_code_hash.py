from __future__ import annotations

import compileall
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hw2core.config.networks import MODELS
from hw2core.data.registry import DATA_SETS
from hw2core.errors import UserError
from hw2core.runs import code_hash
from hw2core.runs.code_hash import EVALUATION, LEFT_OUT, RUN, hash_modules

BEFORE = '''
"""Docstring."""
from __future__ import annotations
import os  # a comment

class A:
    """Docstring."""
    def f(self, x: int = 1) -> str:
        """Docstring."""
        return f"{x!r:>{4}}" + "y"
'''
MESSAGES = """
def f(x):
    if x > 3:
        raise ValueError(f"{x} is too large: at most {3}")
    if x < 0:
        raise KeyError("negative " "number") from None
    warnings.warn("slow", stacklevel=2)
    print("x", f"= {x}", sep="")
    log("x")
"""


def hash_text(tmp_path: Path, text: str) -> str:
    file = tmp_path / "module.py"
    file.write_text(text)
    code_hash._parse_module.cache_clear()
    return code_hash.read_module(file)[0]


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (BEFORE, '"""Docstring."""', '"""Another."""'),
        (BEFORE, '    """Docstring."""\n    def', "    def"),
        (BEFORE, "  # a comment", ""),
        (BEFORE, "import os", "\n\nimport os"),
        (BEFORE, 'f"{x!r:>{4}}" + "y"', "(f'{x!r:>{4}}'\n            + 'y')"),
        (MESSAGES, 'f"{x} is too large: at most {3}"', '"must be at most 3"'),
        (MESSAGES, '"negative " "number"', 'f"{x}: negative"'),
        (MESSAGES, '"slow"', '"takes long"'),
        (MESSAGES, '"x", f"= {x}", sep=""', '"y", f"is {x}", sep=" "'),
    ],
)
def test_what_cannot_change_a_number_leaves_the_hash(tmp_path, text, old, new):
    assert old in text
    assert hash_text(tmp_path, text) == hash_text(tmp_path, text.replace(old, new))


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        *((BEFORE, *edit) for edit in [("= 1", "= 2"), ('"y"', '"z"'), ("import os", "import re")]),
        *((BEFORE, *edit) for edit in [("!r", "!s"), (">{4}", ">{5}")]),
        (MESSAGES, "ValueError", "RuntimeError"),
        (MESSAGES, "x > 3", "x > 4"),
        (MESSAGES, " from None", ""),
        (MESSAGES, "stacklevel=2", "stacklevel=3"),
        (MESSAGES, '    print("x", f"= {x}", sep="")\n', ""),
        ('print(f"{x.mul_(0.5)}")\n', "0.5", "50"),
        ('warnings.warn(model.load("a.pt"))\n', "a.pt", "b.pt"),
        (MESSAGES, "raise ValueError", "return ValueError"),
        (MESSAGES, 'log("x")', 'log("y")'),
    ],
)
def test_what_can_change_a_number_changes_the_hash(tmp_path, text, old, new):
    assert old in text
    assert hash_text(tmp_path, text) != hash_text(tmp_path, text.replace(old, new))


def test_an_edit_is_seen_by_the_process_that_hashed_before(tmp_path):
    file = tmp_path / "module.py"
    file.write_text("x = 1\n")
    before = code_hash.read_module(file)
    file.write_text("x = 2\n")
    os.utime(file, ns=(0, 0))  # both may be written within one tick of the clock of the disk
    assert code_hash.read_module(file) != before


def test_hash_is_the_same_on_every_version_of_python(tmp_path):
    # Pinned: another Python (a laptop's 3.12, a cluster's 3.11) must find results current.
    assert hash_text(tmp_path, BEFORE) == "beb4750553bd9ca6"


DATA = "data data.augment data.loader data.split"
ENGINE = (
    "engine engine.device engine.generators engine.recorder engine.run engine.sums engine.trainer"
)
AUTOGRAD = (
    "cnn cnn.conv engine.cuda_graph engine.flops engine.optim engine.probe engine.torch_trainer"
)
SCRATCH = (
    "engine.layer_trainer layers layers.activations layers.base layers.dropout layers.linear"
    " layers.loss layers.mlp optimizers"
)
# Everything that decides a number of a run, and nothing else: an edit elsewhere trains nothing.
MODULES = {
    "cnn": AUTOGRAD,
    "resnet": f"{AUTOGRAD} cnn.residual",
    "ycn": f"{AUTOGRAD} cnn.yourcodenet",
    "mlp": SCRATCH,
}


def list_entries(model: str) -> list[str]:
    entry = MODELS[model]
    return [RUN, *(path.split(":")[0] for path in (entry.implementation, entry.backend.trainer))]


def closure(model: str) -> set[str]:
    return set(hash_modules(list_entries(model)))


def run_python(code: str) -> set[str]:
    """Return the words that code prints in a fresh process."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def import_fresh(modules: list[str]) -> set[str]:
    """Return the modules of this package that a fresh process has after some imports."""
    return run_python(
        f"import importlib, sys; [importlib.import_module(m) for m in {modules}];"
        "print(*[m for m in sys.modules if m.split('.')[0] == 'hw2core'])"
    )


@pytest.mark.parametrize("model", MODELS)
def test_the_hash_of_a_run_has_exactly_the_modules_that_training_imports(model):
    names = f"{DATA} {ENGINE} {MODULES[model]} history training"
    assert closure(model) == {"hw2core", *(f"hw2core.{name}" for name in names.split())}
    assert import_fresh(list_entries(model)) - set(LEFT_OUT) == closure(model)
    # All code of an evaluation but its metrics: an edit trains, and new weights are evaluated.
    assert set(hash_modules(EVALUATION)) - set(EVALUATION) <= closure(model)


def test_the_code_of_a_spec_is_that_of_its_model_and_data(tiny_spec):
    code = code_hash.hash_run_code(tiny_spec)
    modules = hash_modules([*list_entries("cnn"), "hw2core.data.generated"])
    assert set(modules) == closure("cnn") | {"hw2core.data.arrays", "hw2core.data.generated"}
    assert code.items() > modules.items()
    assert code.keys() - modules.keys() == {code_hash.NETWORKS}
    cifar10 = tiny_spec.data.model_copy(update={"name": "cifar10"})  # fixed by its checksums
    spec = tiny_spec.model_copy(update={"data": cifar10})
    assert set(code_hash.hash_run_code(spec)) == closure("cnn") | {code_hash.NETWORKS}


def test_other_arguments_of_the_network_are_other_code(tiny_spec, monkeypatch):
    before = code_hash.hash_run_code(tiny_spec)
    monkeypatch.setattr(type(tiny_spec.architecture), "channels", [8, 16])
    after = code_hash.hash_run_code(tiny_spec)
    assert {key for key in before if before[key] != after[key]} == {code_hash.NETWORKS}


def test_another_class_of_the_same_module_is_other_code(tiny_spec, package, monkeypatch):
    module, _, name = tiny_spec.implementation.partition(":")
    with (package / "cnn" / "conv.py").open("a") as file:
        file.write(f"\n\nclass Variant({name}):\n    pass\n")
    before = code_hash.hash_run_code(tiny_spec)
    monkeypatch.setattr(type(tiny_spec), "implementation", f"{module}:Variant")
    after = code_hash.hash_run_code(tiny_spec)
    assert {key for key in before if before[key] != after[key]} == {code_hash.NETWORKS}


def test_a_constant_from_the_module_of_the_architectures_is_code_of_the_run(tiny_spec, package):
    """Where a network imports it, the module counts beside the arguments that it computes."""
    unused = code_hash.hash_run_code(tiny_spec)
    networks = package / "config" / "networks.py"

    def edit(path: Path, text: str) -> dict[str, str]:
        path.write_text(path.read_text() + text)
        code_hash._hash_run_modules.cache_clear()
        return code_hash.hash_run_code(tiny_spec)

    assert edit(networks, "\nSQUEEZE = 8\n") == unused
    before = edit(package / "cnn" / "conv.py", "\nfrom hw2core.config.networks import SQUEEZE\n")
    after = edit(networks, "\nSQUEEZE = 4\n")
    assert {key for key in before if before[key] != after[key]} == {code_hash.NETWORKS}


@pytest.mark.parametrize("imports", [False, True])
def test_a_reader_that_imports_the_list_of_data_sets_depends_on_it(package, imports):
    def edit(name: str, text: str) -> str:
        path = package / "data" / name
        path.write_text(path.read_text() + text)
        code_hash.hash_image_code.cache_clear()
        return code_hash.hash_image_code("fashion_mnist")

    line = "\nfrom hw2core.data.registry import SIZE\n" if imports else "\nSIZE = 4\n"
    before = edit("fashion_mnist.py", line)
    assert (edit("registry.py", "\nSIZE = 8\n") != before) is imports


ENTRIES = [
    ("hw2core.nothing.net:Net", "there is no module hw2core.nothing.net"),
    ("hw2core.cnn.conv:Net", "hw2core/cnn/conv.py has no Net"),
    ("hw2core.cnn.conv:kept", "hw2core/cnn/conv.py has no kept"),
    ("hw2core.cnn.conv", "hw2core/cnn/conv.py has no class"),
    ("hw2core.cnn.conv.Net", "there is no module hw2core.cnn.conv.Net"),
    ("hw2core..cnn.conv:ConvClassifier", "there is no module hw2core..cnn.conv"),
    ("hw2core.cnn:Net", "hw2core/cnn/__init__.py has no Net"),
    ("torchvision.models:resnet18", "there is no module torchvision.models"),
    ("", "there is no module "),
]


@pytest.mark.parametrize(("entry", "problem"), ENTRIES)
@pytest.mark.parametrize("field", ["implementation", "trainer"])
def test_a_class_of_a_model_that_does_not_exist_is_one_line(
    tiny_spec, package, monkeypatch, field, entry, problem
):
    with (package / "cnn" / "conv.py").open("a") as file:
        file.write("\n\ndef f():\n    kept = 1\n")
    monkeypatch.setattr(type(tiny_spec), field, entry)
    with pytest.raises(UserError) as error:
        code_hash.hash_run_code(tiny_spec)
    place = f"hw2core/config/networks.py: cnn: {entry!r}: {problem}; must be module:name"
    assert str(error.value).startswith(place)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["generated", "cifar10"])
@pytest.mark.usefixtures("package")
def test_a_reader_that_does_not_exist_is_one_line(tiny_spec, monkeypatch, name):
    module = DATA_SETS[name].reader.partition(":")[0]
    changed = DATA_SETS[name]._replace(reader=f"{module}:read_nothing")
    monkeypatch.setitem(DATA_SETS, name, changed)
    file = f"{module.replace('.', '/')}.py"
    problem = rf"hw2core/data/registry\.py: {name}: '{changed.reader}': {file} has no read_nothing"
    data = tiny_spec.data.model_copy(update={"name": name})
    with pytest.raises(UserError, match=problem):
        code_hash.hash_run_code(tiny_spec.model_copy(update={"data": data}))
    with pytest.raises(UserError, match=problem):
        code_hash.hash_image_code(name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("from hw2core.cnn import ConvClassifier as Net", "Net"),
        ("from hw2core.cnn.conv import *", "ConvClassifier"),
        ("if True:\n    class Net: pass", "Net"),
        ("try:\n    Net = make(3)\nfinally:\n    pass", "Net"),
        ("def __getattr__(name):\n    return make(name)", "Net"),
        ("_MODULE_OF = {'Net': 'conv'}\ndef __getattr__(name):\n    return make(name)", "Net"),
    ],
)
def test_a_class_may_be_defined_in_any_way(tiny_spec, package, monkeypatch, text, name):
    (package / "nets").mkdir()
    (package / "nets" / "mine.py").write_text(text)
    monkeypatch.setattr(type(tiny_spec), "implementation", f"hw2core.nets.mine:{name}")
    assert "hw2core.nets.mine" in code_hash.hash_run_code(tiny_spec)


@pytest.mark.usefixtures("package")
def test_a_class_may_be_named_by_its_package(tiny_spec, monkeypatch):
    monkeypatch.setattr(type(tiny_spec), "implementation", "hw2core.cnn:ResNetClassifier")
    found = code_hash.hash_run_code(tiny_spec).keys()
    assert "hw2core.cnn.residual" in found
    assert "hw2core.cnn.yourcodenet" not in found


def test_messages_and_atomic_writes_are_in_no_hash():
    assert set(hash_modules(["hw2core.io", "hw2core.errors", "hw2core.data.prepared"])) == {
        "hw2core",
        "hw2core.data",
        "hw2core.data.arrays",
        "hw2core.data.prepared",
    }


@pytest.mark.parametrize("name", ["tables", "figures", "report", "explore"])
def test_the_wording_of_messages_makes_no_figure_or_table_stale(name):
    assert not LEFT_OUT.keys() & hash_modules([f"hw2core.analysis.{name}"])


@pytest.mark.parametrize(
    "text",
    [
        "from hw2core.io import scale",
        "from hw2core.io import *",
        "from hw2core import io\nx = io.scale",
        "import hw2core.io as files\nx = files.scale",
    ],
)
def test_a_helper_that_somebody_adds_beside_atomic_writes_is_in_the_hash(package, text):
    (package / "cnn/mine.py").write_text("from hw2core.io import hash_file\n")
    assert "hw2core.io" not in hash_modules(["hw2core.cnn.mine"])
    (package / "cnn/yours.py").write_text(f"{text}\n")
    assert "hw2core.io" in hash_modules(["hw2core.cnn.yours"])


@pytest.mark.parametrize(
    ("imported", "changes"),
    [
        ("from hw2core.calibration import scale", True),
        ("def f():\n    from hw2core import calibration\n    calibration.scale", True),
        ("import hw2core\nhw2core.calibration.scale", True),
        ("from hw2core.data import loader", False),
    ],
)
def test_the_hash_of_the_evaluation_follows_its_code(package, imported, changes):
    def hash_again() -> str:
        code_hash.hash_evaluation_code.cache_clear()
        return code_hash.hash_evaluation_code()

    def edit(name: str, text: str) -> None:
        path = package / f"{name}.py"
        path.write_text(path.read_text() + text if path.exists() else text)
        os.utime(path, ns=(0, len(path.read_bytes())))

    published = hash_again()
    assert published == code_hash.combine_hashes(
        {name: code_hash.hash_modules([name])[name] for name in EVALUATION}
    )
    edit("calibration", "scale = 100\n")
    edit("evaluation", f"\n\n{imported}\n")
    before = hash_again()
    assert before != published
    edit("calibration", "scale = 50\n")
    assert (hash_again() != before) is changes
    # Code of all runs: their weights become stale, and new weights are evaluated anyway.
    now = hash_again()
    edit("data/loader", "\nx = 1\n")
    assert hash_again() == now


def test_a_training_process_imports_no_plotting_and_no_torchvision():
    folder = Path(__file__).parents[2] / "workflow_scripts"
    loaded = run_python(
        f"import sys; sys.path.insert(0, {str(folder)!r}); import train;print(*sys.modules)"
    )
    assert "hw2core.gpu_locks" in loaded
    assert not {"torchvision", "pandas", "seaborn", "matplotlib", "snakemake"} & loaded


def test_what_is_drawn_depends_on_what_the_configuration_computes():
    hashes = hash_modules(["hw2core.analysis.figures"])
    assert {"hw2core.analysis.tables", "hw2core.runs.outcome", "hw2core.config.grids"} < set(hashes)
    assert "hw2core.config.arithmetic" in hash_modules(["hw2core.analysis.explore"])


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("module.json", 'Path(__file__).with_suffix(".json").read_text()'),
        ("filters.npy", 'np.load(Path(__file__).parent / "filters.npy")'),
        ("tables/filters-5.npy", 'np.load(Path(__file__).parent / "tables/filters-5.npy")'),
        ("LABELS", 'open(Path(__file__).parent / "LABELS")'),
        ("my table (1)+a@b é.json", 'open(Path(__file__).parent / "my table (1)+a@b é.json")'),
        ("tables/filters.tar.gz", 'open(Path(__file__).parent / "tables" / "filters.tar.gz")'),
        ("tables/a.npy", 'sorted(Path(__file__).parent.glob("tables/*.npy"))'),
        ("tables/x[1]-5.npy", 'np.load(Path(__file__).parent / f"tables/x[1]-{5}.npy")'),
        ("5.npy", 'np.load(Path(__file__).with_name(f"{5}.npy"))'),
        ("tables/gabor.npy", 'np.load(Path(__file__).parent / "tables" / name)'),
        ("tables/gabor.npy", 'np.load(Path(__file__).parent / ("tables/" + name))'),
        ("tables/gabor.npy", 'np.load(f"{folder}/tables/{name}")'),
        ("tables/5/gabor.npy", 'list((Path(__file__).parent / "tables").rglob("*"))'),
    ],
)
def test_a_file_that_a_module_names_is_part_of_it(tmp_path, name, reads):
    text = f"X = {reads}\n"
    without = hash_text(tmp_path, text)
    (tmp_path / "tables").mkdir()
    (tmp_path / "other.json").write_text("other")
    assert hash_text(tmp_path, text) == without
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("1")
    first = hash_text(tmp_path, text)
    (tmp_path / ".old").mkdir()
    (tmp_path / ".old" / Path(name).name).write_text("an older one")  # is in no copy of the code
    assert hash_text(tmp_path, text) == first
    (tmp_path / name).write_text("2")
    assert len({without, first, code_hash.read_module(tmp_path / "module.py")[0]}) == 3


def test_files_that_change_their_names_change_the_hash(tmp_path):
    (tmp_path / "banks").mkdir()
    hashes = set()
    for name in "01", "12", "10":
        for number, content in zip(name, "ab", strict=True):
            (tmp_path / "banks" / f"{number}.npy").write_text(content)
        hashes.add(hash_text(tmp_path, 'X = open(f"banks/{n}.npy")\n'))
        for path in tmp_path.glob("banks/*"):
            path.unlink()
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("reads", "named"),
    [
        ('files("hw2core.analysis.explore").joinpath("page.css")', ["page.css"]),
        (
            'Path(__file__).parents[1] / "analysis" / "figures" / "style.mplstyle"',
            ["style.mplstyle"],
        ),
        ('f"{__name__}.{name}"', []),
        ('sorted(root.glob("*"))', []),
        ('sorted(root.glob("**/*"))', []),
        ('f"{epoch}. {name}"', []),
    ],
)
def test_a_file_anywhere_in_the_package_may_be_named(package, reads, named):
    (package / "mine.py").write_text(f"X = {reads}\n")
    compileall.compile_file(package / "mine.py", quiet=1)
    files = code_hash.read_module(package / "mine.py")[1].files
    assert [path.name for path in files] == named


def test_a_file_made_after_its_module_was_hashed_is_found_by_the_next_call(package):
    (package / "mine.py").write_text('X = open("table.json").read()\n')
    assert code_hash.read_module(package / "mine.py")[1].files == ()
    (package / "cnn" / "table.json").write_text("{}")
    code_hash.forget_hashes()
    (file,) = code_hash.read_module(package / "mine.py")[1].files
    assert file.name == "table.json"


def test_a_file_in_a_linked_folder_is_part_of_the_module_that_names_it(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "tables").symlink_to(tmp_path / "scratch")
    text = 'X = open("tables/x.json").read()\n'
    hashes = set()
    for content in "1", "2":
        (tmp_path / "scratch" / "x.json").write_text(content)
        hashes.add(hash_text(tmp_path / "package", text))
    assert len(hashes) == 2


def test_a_file_that_cannot_be_read_is_one_line(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "x.json").touch()
    hash_text(tmp_path, 'X = "x.json"\n')
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UserError, match=r"x\.json: cannot be read \(Permission denied\)"):
        code_hash.read_module(tmp_path / "module.py")


@pytest.mark.parametrize("value", [float, {1, 2}, {"a": object()}, {(1, 2): 3}])
def test_arguments_of_a_network_that_are_no_json_are_one_line(tiny_spec, monkeypatch, value):
    kind = type(tiny_spec.architecture)
    monkeypatch.setattr(kind, "build_arguments", lambda *_: {"activation": value})
    line = r"hw2core/config/networks\.py: cnn: build_arguments: .*; it must return numbers, text, "
    with pytest.raises(UserError, match=line):
        code_hash.hash_run_code(tiny_spec)


def test_an_unknown_module_is_an_error():
    with pytest.raises(ModuleNotFoundError, match=r"hw2core\.nothing"):
        hash_modules(["hw2core.nothing"])


@pytest.mark.parametrize("text", [b"def f(:\n", b"x = 1\0", b"x = '\xe4'"])
def test_a_half_typed_module_is_one_line_with_its_place(tmp_path, text):
    file = tmp_path / "module.py"
    file.write_bytes(text)
    with pytest.raises(UserError, match=r"module\.py: not valid Python \("):
        code_hash.read_module(file)
