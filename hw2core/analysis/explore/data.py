"""Collects what the explore page shows, as plain values: runs, curves, layers and pictures."""

from __future__ import annotations

import base64
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from hw2core.analysis.figures import style
from hw2core.analysis.rows import QUANTITIES, describe_network, list_quantities, tabulate_settings
from hw2core.analysis.tables import Study, build, find_best, list_rows, select
from hw2core.analysis.text import format_setting
from hw2core.config.arithmetic import count_work
from hw2core.runs.outcome import judge_status
from hw2core.runs.schema import Epochs, Evaluation, Result

if TYPE_CHECKING:
    from hw2core.data.prepared import PreparedData
    from hw2core.runs.unfinished import Unfinished

PICTURES = 10  # most confident mistakes of a run that are shown
MOST_PICTURES = 3000  # on a page: of many runs fewer are shown
PICTURE_QUALITY = 85  # of WebP, in percent


def describe_study(
    study: Study,
    unfinished: Sequence[Unfinished] = (),
    prepared: Iterable[PreparedData] = (),
    stale: Mapping[tuple[str, int], str] = {},
) -> dict[str, Any]:
    """Return all values of the page; a number that is missing is None.

    Args:
        study: the results.
        unfinished: runs and seeds without a result, of which there is a checkpoint.
        prepared: data sets, for names of classes and pictures of what a run gets wrong. A run
            was tested on one of them if their hashes are equal.
        stale: run and seed -> why its result is stale. Where other seeds of the run are current,
            it is left out.
    """
    current = {each.name for each in study.results if (each.name, each.seed) not in stale}
    left_out = current & {run for run, _ in stale}
    if left_out:
        kept = [x for x in study.results if (x.name, x.seed) not in stale or x.name not in current]
        study = build(study.experiments, kept, study.missing)
    found: dict[str, list[Result]] = defaultdict(list)
    for result in study.results:
        found[result.name].append(result)
    begun: dict[str, list[Unfinished]] = defaultdict(list)
    for each in unfinished:
        begun[each.spec.name].append(each)
    rows = {row.run: row for row in list_rows(study.summary)}
    names = list(dict.fromkeys([*rows, *begun]))
    shown = min(PICTURES, 1 + MOST_PICTURES // max(len(names), 1))
    runs, configs = [], []
    # Hash of the images -> the evaluations on them, of the best seed of each run.
    tested: dict[str, list[Evaluation]] = defaultdict(list)
    for name in names:
        results, started = found[name], begun[name]
        tests = _list_tests(results)
        mistakes = tests[0].mistakes[:shown] if tests else []
        if tests:
            tested[tests[0].data_sha256].append(tests[0])
        configs.append(results[0].config if results else started[0].spec.describe(0))
        facts = _describe_run(rows[name], results, tests) if results else _describe_begun(started)
        seeds = [(each, False) for each in results] + [(each, True) for each in started]
        runs.append(
            {
                **facts,
                "unfinished": ", ".join(map(_count_epochs, started)),
                "stale": _describe_stale(name, stale) + "; left out" * (name in left_out),
                "seeds": [_describe_seed(*seed) for seed in seeds],
                "images": [*tested].index(tests[0].data_sha256) if tests else None,
                "mistakes": [[*mistake.model_dump().values()] for mistake in mistakes],
            }
        )
    known = {each.sha256: each for each in prepared}
    best = [find_best(select(study.summary, experiment=x.name)) for x in study.experiments]
    return {
        "runs": runs,
        "settings": _list_differences(configs),
        "experiments": {x.name: list(x.runs) for x in study.experiments},
        "start": [row.run for row in best if row is not None and not pd.isna(row.num_conv)],
        "families": {run["family"]: style.colour_family(run["family"]) for run in runs},
        "colours": list(style.VARIANTS),
        "curves": list(Epochs.model_fields),
        "quantities": list(QUANTITIES),
        "images": [_describe_images(x, known.get(sha), shown) for sha, x in tested.items()],
    }


def _describe_stale(name: str, stale: Mapping[tuple[str, int], str]) -> str:
    """Return the stale seeds of a run, with the reason of each."""
    reasons = defaultdict(list)
    for (run, seed), reason in stale.items():
        if run == name:
            reasons[reason].append(f"seed {seed}")
    return "; ".join(f"{', '.join(seeds)}: {reason}" for reason, seeds in reasons.items())


def _list_tests(results: Sequence[Result]) -> list[Evaluation]:
    """Return the evaluations of the seeds that trained, or of all if none did; best seed first."""
    trained = [result for result in results if judge_status(result) == "trained"]
    pairs = [(each.validation_accuracy, each.test) for each in trained or results if each.test]
    # A seed may have a stale result, on the images of another data set.
    pairs = [pair for pair in pairs if pair[1].data_sha256 == pairs[0][1].data_sha256]
    return [test for _, test in sorted(pairs, key=lambda pair: -pair[0])]


def _describe_run(
    row: Any, results: Sequence[Result], tests: Sequence[Evaluation]
) -> dict[str, Any]:
    """Return what is known of a run over its seeds, from its row in ``Study.summary``."""
    return {
        "name": row.run,
        "experiment": row.experiment,
        "family": row.family,
        "same_as": results[0].same_as,
        "convolutions": None if pd.isna(row.num_conv) else int(row.num_conv),
        "parameters": int(row.parameters),
        "mflops": _round(row.flops_per_image / 1e6),
        "validation": _round(row.validation),
        "test": _round(row.test),
        "trained": f"{row.trained} of {row.seeds}",
        "reduced": row.reduced,
        "confusion": np.sum([test.confusion for test in tests], axis=0).tolist() if tests else None,
        "tested": [str(test.seed) for test in tests],  # best by validation first
    }


def _describe_begun(begun: Sequence[Unfinished]) -> dict[str, Any]:
    """Return what is known of a run without any result; its cost is counted without biases."""
    spec = begun[0].spec
    network = describe_network(spec.describe(0))
    work = count_work(spec.architecture, spec.data.num_classes)  # zeros of a network of one's own
    best = [max(each.epochs.validation_accuracy) for each in begun]
    return {
        "name": spec.name,
        "experiment": spec.experiment,
        "family": network["family"],
        "same_as": None,
        "convolutions": network.get("num_conv"),
        "parameters": work.parameters or None,
        "mflops": _round(2 * work.multiply_adds / 1e6) or None,
        "validation": _round(math.fsum(best) / len(best)),
        "test": None,
        "trained": "",
        "reduced": "",
        "confusion": None,
        "tested": [],
    }


def _count_epochs(begun: Unfinished) -> str:
    """Return how far the training of a seed is."""
    return f"seed {begun.seed}: epoch {len(begun.epochs)} of {begun.spec.training.epochs}"


def _describe_seed(found: Result | Unfinished, unfinished: bool) -> dict[str, Any]:
    layers = found.layers
    return {
        "seed": str(found.seed),  # it may be more than a number of JavaScript holds
        "unfinished": unfinished,
        "curves": [[_round(value, 5) for value in curve] for _, curve in found.epochs],
        "layers": layers
        and {
            "names": layers.names,
            "epochs": layers.epochs,
            "values": [
                [[_round(value, 3) for value in row] for row in quantity]
                for quantity in list_quantities(layers)
            ],
        },
    }


def _describe_images(
    tests: Sequence[Evaluation], prepared: PreparedData | None, shown: int
) -> dict[str, Any]:
    """Return classes, and pictures by index, of the images of ``tests``; else class numbers."""
    if prepared is None:
        return {"classes": [str(x) for x in range(len(tests[0].confusion))], "pictures": {}}
    images = prepared.test_images
    wrong = {mistake.index for test in tests for mistake in test.mistakes[:shown]}
    pictures = {x: _encode(images[x]) for x in sorted(wrong) if x < len(images)}
    return {"classes": list(prepared.classes), "pictures": pictures}


def _list_differences(configs: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the settings in which runs differ, each with a value per run."""
    settings = tabulate_settings(configs).map(format_setting)
    differ = settings.loc[:, settings.nunique() > 1] if len(settings) else settings
    return {str(name): values.tolist() for name, values in differ.items()}


def _round(value: float | None, digits: int = 6) -> float | None:
    """Return a number with so many significant digits; None where it is missing."""
    return None if value is None or pd.isna(value) else float(f"{value:.{digits}g}")


def _encode(image: Iterable[Any]) -> str:
    """Return an image (H, W, 3) as WebP in base64."""
    stream = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(stream, "WEBP", quality=PICTURE_QUALITY)
    return base64.b64encode(stream.getvalue()).decode()
