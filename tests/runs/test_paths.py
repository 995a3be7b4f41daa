from __future__ import annotations

from pathlib import Path

from hw2core.pipeline import list_results
from hw2core.runs import paths


def test_the_files_of_a_run_are_next_to_its_result():
    assert paths.result_path("{run}", "{seed}") == "results/{run}/seed{seed}.json"
    result = Path(paths.result_path("a", 0))
    for file in (paths.evaluation_path("a", 0), paths.weights_path("a", 0)):
        assert Path(file).parent == result.parent
    assert paths.checkpoint_path(result) == Path("results/a/seed0.checkpoint")
    assert list_results([("a", 0)]) == [str(result), paths.evaluation_path("a", 0)]


def test_each_figure_has_a_path_of_its_own():
    figures = [*paths.figure_paths("exp2", settings=("lr",)), *paths.study_figure_paths()]
    assert len(set(figures)) == len(figures) == 2 * (2 + len(paths.STUDY_FIGURES))


def test_evaluations_are_not_taken_for_results(tmp_path):
    for name in ("seed0.json", "seed12.json", "seed0.test.json", "seed0.safetensors"):
        (tmp_path / name).touch()
    assert {path.name for path in tmp_path.glob(paths.RESULT_GLOB)} == {"seed0.json", "seed12.json"}


def test_of_the_published_results_the_report_reads_the_table_only(tmp_path):
    sources = {"report.md.j2", "parts/x.md.j2", "style.css", "reference/summary.csv"}
    others = {"report.html", "README.md", "reference/study.yaml", "reference/figures/x.csv"}
    others |= {".reference.x/new/summary.csv"}
    for name in sources | others:
        path = tmp_path / "report" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = {path.relative_to(tmp_path).as_posix() for path in paths.list_report_sources(tmp_path)}
    there = {path for path in found if (tmp_path / path).exists()}
    assert there == {f"report/{name}" for name in sources}
