"""Wrong configurations: one line for each problem, with its key, value and what is allowed."""

from __future__ import annotations

import abc
import re

import pytest

from hw2core.config.errors import ConfigError
from hw2core.config.fields import KEYWORDS
from hw2core.config.networks import MODELS
from hw2core.config.study import load_study
from hw2core.data.registry import DATA_SETS, DataSet


def in_one(text: str) -> str:
    """Return a change of the experiment ``one``."""
    return f"experiments: {{one: {{{text}}}}}"


def one(text: str, line: str) -> tuple[str, str]:
    """Return a change of the experiment ``one``, and the line about it."""
    return in_one(text), f"experiments.one{line}"


# Keys that are wrong by themselves: editors, which know the JSON Schema only, find them too.
KEYS = [
    ("training: {lr: -0.1}", "training.lr: -0.1: must be greater than 0"),
    ("training: {lr: .inf}", "training.lr: inf: must be finite"),
    ("training: {lr: 1.0e+308}", "training.lr: 1e+308: must be at most 1e+20"),
    ("training: {lr: fast}", "training.lr: 'fast': must be a number"),
    ("training: {epochs: 0}", "training.epochs: 0: must be at least 1"),
    ("training: {epochs: 2.5}", "training.epochs: 2.5: must be a whole number"),
    ("training: {epochs: 1000000000}", "training.epochs: 1000000000: must be at most 10000"),
    ("training: {batch_size: true}", "training.batch_size: True: must be a whole number"),
    ("training: {batch_size: 10000000}", "training.batch_size: 10000000: must be at most 1000000"),
    ("training: {optimizer: sdg}", "training.optimizer: 'sdg': must be one of 'sgd', 'adamw', "),
    ("training: {momentum: 1.0}", "training.momentum: 1.0: must be less than 1.0"),
    ("training: {weight_decay: -1}", "training.weight_decay: -1: must be at least 0"),
    ("training: {weight_decay: 1001}", "training.weight_decay: 1001: must be at most 1000"),
    ("training: {schedule: linear}", "training.schedule: 'linear': must be one of 'constant', "),
    ("training: {milestones: [0.5, 1.0]}", "training.milestones.1: 1.0: must be less than 1.0"),
    ("training: {translate: 40}", "training.translate: 40: must be less than 32"),
    ("training: {cutout: 40}", "training.cutout: 40: must be at most 32"),
    ("training: {flip: 1}", "training.flip: 1: must be true or false"),
    ("training: {learning_rate: 1}", "training.learning_rate: unknown key; allowed: average, "),
    ("data: {name: imagenet}", "data.name: 'imagenet': must be one of 'cifar10', 'cifar100', "),
    ("data: {split_seed: 4294967296}", "data.split_seed: 4294967296: must be at most 4294967295"),
    ("data: {source_train: 10000000}", "data.source_train: 10000000: must be at most 1000000"),
    ("seeds: []", "seeds: []: must have at least 1 entries"),
    ("seeds: [-1]", "seeds.0: -1: must be at least 0"),
    ("seeds: [4294967296]", "seeds.0: 4294967296: must be at most 4294967295"),
    (f"seeds: {[*range(1001)]}", "seeds: [0, 1, 2"),
    ("experimets: {}", "experimets: unknown key; allowed: data, experiments, seeds, study, train"),
    one("model: vgg", ".model: 'vgg': must be one of cnn, resnet, ycn, mlp"),
    one("vary: x", ".vary: unknown key; allowed: architecture, data, fixed, grid, "),
    one("question: ''", ".question: '': must not be empty"),
    one(f"question: {'a' * 2001}", ".question: 'aaaa"),
    one(r'fixed: "a\0b"', r".fixed: 'a\x00b': must have no control characters"),
    one(r'varies: "\x1b[31m"', r".varies: '\x1b[31m': must have no control characters"),
    one("architecture: {activation_type: swish}", ".architecture.activation_type: 'swish': must "),
    one("runs: {'a;b': {}}", ".runs.a;b: 'a;b': a label has only letters, digits, '.', '_', '-'"),
    one(f"runs: {{{'a' * 100}: {{}}}}", f".runs.{'a' * 100}: "),
    one("runs: {a: {training: {lr: 0}}}", ".runs.a.training.lr: 0: must be greater than 0"),
    one("grid: {filters: [[1]]}", ".grid.filters: unknown key; allowed: activation_type, "),
    one("grid: {lr: [0.1]}", ".grid.lr: unknown key; allowed: "),
    one("grid: {training.rate: [0.1]}", ".grid.training.rate: unknown key; allowed: "),
    one("grid: {train.lr: [1]}", ".grid.train.lr: unknown key of a grid; its keys are those of "),
    one("grid: {layers_per_block: []}", ".grid.0.layers_per_block: []: must have at least 1 "),
    one("grid: {layers_per_block: [1001]}", ".grid.layers_per_block: 1001: must be at most 1000"),
    one("grid: {filters_per_layer: [[8, 0]]}", ".grid.filters_per_layer.1: 0: must be at least 1"),
    one("grid: {training.lr: [0.1, -1]}", ".grid.training.lr: -1: must be greater than 0"),
    one("grid: {training.lr: 0.1}", ".grid.0.training.lr: 0.1: must be a list"),
    one("grid: {training.lr: {log: [0.1, 1]}}", ".grid.0.training.lr: must be a list, or {log: "),
    one("grid: {training.lr: {lin: [1, 2, 3]}}", ".grid.0.training.lr: must be a list, or {log: "),
    (
        "experiments: {$(touch x): {question: '?', varies: '?', fixed: '?', model: mlp}}",
        "experiments.$(touch x): '$(touch x)': a name has only letters, ",
    ),
]
# Values that are wrong next to others, or that the JSON Schema cannot express.
MERGED = [
    ("data: {name: [cifar10]}", "data.name: ['cifar10']: must be one of 'cifar10', "),
    ("data: {source_train: 104}", "data.source_train: must be a multiple of 10"),
    ("data: {train: 99}", "data.train: train + validation = 99 + 20 must be at most 100"),
    ("data: {test: 51}", "data.test: must be at most 50"),
    (r'data: {root: "/a\0b"}', r"data.root: '/a\x00b': must have at most 1000 characters, and no "),
    (f"data: {{root: {'a' * 1001}}}", "data.root: 'aaaa"),
    ("data: {root: mine}", "data.root: 'mine': must be absolute, or start with ~"),
    ("seeds: [0, 0]", "seeds: [0, 0]: a seed is given twice"),
    ("training: {lr: .nan}", "training.lr: nan: must be finite"),
    ("training: {nesterov: true}", "training.nesterov: needs optimizer: sgd and a momentum above"),
    ("training: {decay: 0.5}", "training.decay: 0.5: has no effect with optimizer: sgd; must be "),
    ("training: {gamma: 0.5}", "training.gamma: 0.5: has no effect with schedule: constant"),
    ("training: {warmup: 0.5}", "training.warmup: 0.5: has no effect with schedule: constant"),
    ("training: {milestones: [0.1]}", "training.milestones: [0.1]: has no effect with schedule: "),
    ("training: {milestones: [0.5, 0.5]}", "training.milestones: [0.5, 0.5]: must rise"),
    ("study: {only: [exp9]}", "study.only: 'exp9': no such experiment; there are one"),
    (
        "study: {first_seed_only: [one]}",
        "study.first_seed_only: 'one': no such run; the first of them is 'one_L2_K8'",
    ),
    one("training: {optimizer: adamw, momentum: 0.9}", ".training.momentum: 0.9: has no effect "),
    one("training: {optimizer: adamw, nesterov: true}", ".training.nesterov: needs optimizer: sgd"),
    one("training: {optimizer: rmsprop}", ".training.optimizer: 'rmsprop': model: cnn has the "),
    one("data: {root: /x}", ".data.root: '/x': must be that of the study, None"),
    one("data: {name: svhn, source_train: 9}", ".data.source_train: SVHN has 73257 + 26032 images"),
    one("data: {name: svhn, train: 46600}", ".data.train: train + validation = 46600 + 20 must be"),
    one("architecture: {kernel_size: 4}", ".architecture.kernel_size: 4: must be odd"),
    one(
        "architecture: {head: flatten}", ".architecture.head: unknown key; allowed: activation_type"
    ),
    *(
        one(f"architecture: {{{key}: {{a: 3}}}}", f".architecture.{key}: {{'a': 3}}: only run_exp")
        for key in KEYWORDS
    ),
    one("architecture: {pools: 2}", ".architecture.pool_every: give either pool_every or pools"),
    one("grid: {layers_per_block: [12]}", ".architecture.pool_every: 12 convolutions with a pool "),
    one("grid: {layers_per_block: [2, 2]}", ": 'one_L2_K8': this run name is made twice"),
    one("grid: {training.lr: [0.1, 1e-1]}", ": 'one_lr0.1_L2_K8': this run name is made twice"),
    one("grid: {data.name: [[svhn]]}", ".grid.data.name: ['svhn']: must be one of 'cifar10', "),
    one("grid: {data.name: [imagenet]}", ".grid.data.name: 'imagenet': must be one of 'cifar10', "),
    one(
        "grid: {layers_per_block: [1000], filters_per_layer: [[8, 8]]}",
        ".grid.layers_per_block: 2000 convolutions: must be at most 1000",
    ),
    one(
        f"grid: {{layers_per_block: {[*range(1, 202)]}, training.lr: {[*range(1, 51)]}}}",
        ".grid: gives 10,050 runs; must be at most 10,000",
    ),
    one(
        f"architecture: {{pool_every: 40}}, grid: {{filters_per_layer: [{[9999] * 40}]}}",
        ": 'one_L2_K9999-",
    ),
    *(
        one(f"grid: {{training.lr: {{log: {ends}}}}}", ".grid.0.training.lr: must be a list, or ")
        for ends in ("[0, 1, 3]", "[0.1, 1, 1]", "[0.1, 1, true]")
    ),
    one("runs: {a: {}, A: {}}", ": 'one_A_L2_K8': on macOS and Windows, the same file as 'one_a_"),
    one(
        "runs: {a: {training: {lr: 1}}}, grid: {training.lr: [0.1, 0.2]}",
        ".runs.a.training.lr: the grid gives it; leave out one",
    ),
    (
        "experiments: {two: {question: '?', varies: '?', fixed: '?', model: mlp, architecture: "
        "{hidden_dims: [8], wstd: 0.1}, training: {optimizer: vanilla, schedule: cosine}}}",
        "experiments.two.training.schedule: 'cosine': model: mlp supports only 'constant'",
    ),
    one("runs: [a]", ".runs: ['a']: must be a mapping of keys to values"),
    one("model: mlp, architecture: null", ".architecture: None: must be a mapping of keys"),
]


@pytest.mark.parametrize(("text", "line"), KEYS + MERGED, ids=lambda text: text[:60])
def test_a_wrong_value_is_one_line_with_its_key(refuse, text, line):
    (found,) = refuse(text)
    assert found.startswith(line)


@pytest.mark.parametrize(("text", "line"), KEYS, ids=lambda text: text[:60])
def test_an_editor_finds_a_wrong_value_where_it_is(find_errors, change, text, line):
    (found,) = find_errors(change(text))
    found = re.sub(r"\[(\w+)\]", r".\1", found.replace("'", ""))
    key, grid, _ = f"$.{line}".partition(": ")[0].partition(".grid")
    assert found in (key + grid, key.rpartition(".")[0])


@pytest.mark.parametrize(
    ("convs", "least"), [(16, 3), (12, 3), (24, 5), (27, 5), (32, 6), (36, 7), (5, 1)]
)
def test_at_most_five_pools(load, refuse, convs, least):
    text = f"grid: {{layers_per_block: [{convs}]}}, architecture: {{pool_every: %d}}"
    assert load(in_one(text % least))
    if least > 1:
        (line,) = refuse(in_one(text % (least - 1)))
        assert line.endswith(f"so pool_every must be at least {least}")


@pytest.mark.parametrize("key", ["training.batch_size", "data.train", "data.validation"])
def test_batch_normalisation_of_one_image_is_refused(load, refuse, key):
    text = f"{key.replace('.', ': {')}: 1}}\n"
    assert load(text)
    (line,) = refuse(text + in_one("architecture: {batchnorm: true}"))
    assert line.startswith(f"{key}: 1: batch normalisation needs at least 2 images")


def test_a_network_that_no_file_of_weights_has_room_for_is_refused(load, refuse):
    text = "grid: {filters_per_layer: [[10000]], layers_per_block: [%d]}"
    assert load(in_one(text % 2))
    (line,) = refuse(in_one(text % 4))
    assert re.search(r"architecture: 2,\d+,\d+,\d+ weights: must be at most 2,000,000,000$", line)


def test_names_that_are_one_file_or_target_are_refused(small, refuse):
    entry = small["experiments"]["one"]
    small["experiments"] |= {"One": entry, "one_L2_K8": entry}
    lines = [
        "One: 'One_L2_K8': on macOS and Windows, the same file as 'one_L2_K8' of",
        "One: 'One': on macOS and Windows, the same file as 'one'",
        "one_L2_K8: 'one_L2_K8': this run name is made twice",
        "one_L2_K8: 'one_L2_K8': experiments.one has a run of this name",
    ]
    for found, line in zip(refuse(), lines, strict=True):
        assert found.startswith(f"experiments.{line}")


def test_a_label_is_not_both_a_number_and_text(small, refuse):
    """As two files together may give it."""
    small["experiments"]["one"]["runs"] = {0: {}}
    (line,) = refuse(in_one("runs: {'0': {}}"))
    assert line.startswith("experiments.one.runs: 0 is given as a number and as text")


def test_experiments_that_no_command_line_holds_are_refused(small, load, refuse):
    entry = small["experiments"]["one"] | {"question": "'" * 2000}
    small["experiments"] = {f"e{n}": entry for n in range(12)}
    (line,) = refuse()
    assert re.match(r"experiments: .* 12\d,\d* bytes .* at most 120,000", line)
    del small["experiments"]["e0"]
    assert load()


ALL = "training.lr: 0: must be greater than 0.0 (4 runs, first one_a_L1_K8)"
EXPERIMENT = f"experiments.one.{ALL}"
RUN_A = f"experiments.one.{ALL.replace('4 runs', '2 runs')}"
RUN_B = f"experiments.one.runs.b.{ALL.replace('4 runs, first one_a', '2 runs, first one_b')}"


@pytest.mark.parametrize(("given", "lines"), [(1, [ALL]), (2, [EXPERIMENT]), (3, [RUN_A, RUN_B])])
def test_the_innermost_section_that_gives_the_key_is_named(small, refuse, given, lines):
    entry = small["experiments"]["one"]
    entry["runs"] = {"a": {}, "b": {}}
    for section in (small, entry, entry["runs"]["b"])[:given]:
        section["training"] = {**section.get("training", {}), "lr": 0}
    assert refuse(in_one("grid: {layers_per_block: [1, 2]}")) == lines


def test_an_architecture_without_arguments_is_one_line(refuse, monkeypatch):
    method = abc.abstractmethod(lambda self: {})
    bare = type("Bare", (MODELS["cnn"].architecture,), {"build_arguments": method})
    monkeypatch.setitem(MODELS, "cnn", MODELS["cnn"]._replace(architecture=bare))
    (line,) = refuse("{}")
    assert "model: cnn: Can't instantiate abstract class Bare" in line
    assert "build_arguments" in line


def test_all_problems_are_reported_at_once_and_each_once(config):
    config["training"]["lr"] = -1
    config["data"]["train"] = 60_000
    del config["training"]["epochs"]
    config["experiments"]["part2_dropout"]["runs"][0.4] = {"model": "vgg"}
    with pytest.raises(ConfigError) as caught:
        load_study(config, "study.yaml")
    assert sorted(caught.value.lines) == [
        f"study.yaml: {line}"
        for line in (
            "data.train: train + validation = 60000 + 6000 must be at most 50000, the images there "
            "are (62 runs, first exp1_1_L2_K32)",
            "experiments.part2_dropout.runs.0.4.model: 'vgg': must be one of cnn, resnet, ycn, mlp",
            "training.epochs: missing; it must be given (59 runs, first exp1_1_L2_K32)",
            "training.lr: -1: must be greater than 0.0 (46 runs, first exp1_1_L2_K32)",
        )
    ]


MINE = "data: {name: mine, source_train: 100, source_test: 50}"


@pytest.mark.parametrize("number", [0, 1, 257, 1000, "ten", 2.5])
def test_classes_of_a_data_set_are_as_many_as_a_byte_can_tell_apart(
    refuse, load, monkeypatch, number
):
    entry = DataSet("Mine", "mine:read", (100, 50), number, files=())
    monkeypatch.setitem(DATA_SETS, "mine", entry)
    (line,) = refuse(MINE)
    assert line.startswith("data.name: 'mine': its entry in hw2core/data/registry.py has num_cl")
    assert f"num_classes={number!r}; must be 2 to 256" in line


@pytest.mark.parametrize(
    "files",
    [None, "mine.npz", (1,), ("",), (".",), ("/tmp/mine.npz",), ("**.png",), ("a.npz", "a\0b")],
)
def test_files_of_a_data_set_are_a_tuple_of_names_or_patterns(refuse, load, monkeypatch, files):
    entry = DataSet("Mine", "mine:read", (100, 50), 10, files=files)
    monkeypatch.setitem(DATA_SETS, "mine", entry)
    (line,) = refuse(MINE)
    assert line.startswith("data.name: 'mine': its entry in hw2core/data/registry.py has files=")
    assert f"{files!r}; must be a tuple of names or patterns in the folder" in line
    for allowed in ((), ("a.npz",), ["a/*.png", "**/*.txt"], ("../b.npz", "./c.npz")):
        monkeypatch.setitem(DATA_SETS, "mine", entry._replace(files=allowed))
        assert load(MINE)[0].data.name == "mine"
