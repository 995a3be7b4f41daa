"""What claims read: the study's tables, asked run by run, and a note of who was asked."""

from __future__ import annotations

import pandas as pd

from hw2core.analysis.wording import count


class NotRun(LookupError):
    """A run that a claim speaks of has no result; the message says which."""

    def __init__(self, run: str, what: str = "not run") -> None:
        super().__init__(f"{what}: `{run}`")


class Evidence:
    """The tables that claims are judged by.

    Args:
        summary: of :func:`hw2core.analysis.tables.summary_table`.
        epochs: of :func:`hw2core.analysis.tables.epochs_table`.
        layers: of :func:`hw2core.analysis.layers_table.layers_table`.
        record: the public record, a row per run (:mod:`hw2core.analysis.public_record`).

    Attributes:
        asked: names of the runs that were read since it was last cleared.
    """

    def __init__(
        self,
        summary: pd.DataFrame,
        epochs: pd.DataFrame,
        layers: pd.DataFrame,
        record: pd.DataFrame,
    ) -> None:
        self.summary = summary
        self.epochs = epochs
        self.layers = layers
        self.record = record
        self.asked: set[str] = set()
        self._seeds = {str(run): rows.set_index("seed") for run, rows in summary.groupby("run")}

    def list_seeds(self, run: str) -> pd.DataFrame:
        """Return the rows of a run, indexed by seed.

        Raises:
            NotRun: it has no result.
        """
        self.asked.add(run)
        if run not in self._seeds:
            raise NotRun(run)
        return self._seeds[run]

    def list_images(self) -> list[str]:
        """Return on what the runs in ``asked`` were trained, each data set and number once."""
        rows = self.summary[self.summary["run"].isin(self.asked)]
        kinds = rows[["data", "train_images"]].dropna().drop_duplicates()
        return [f"{count(size)} of {name}" for name, size in kinds.itertuples(index=False)]

    def measure(self, run: str, column: str = "test_accuracy") -> pd.Series:
        """Return a column of the summary, by seed, of the seeds that trained."""
        rows = self.list_seeds(run)
        return rows.loc[rows["status"] == "trained", column].astype(float)

    def count_trained(self, *runs: str) -> tuple[int, int]:
        """Return how many trainings of ``runs`` trained, and how many there are."""
        statuses = [status for run in runs for status in self.list_seeds(run)["status"]]
        return statuses.count("trained"), len(statuses)

    def read_curve(self, run: str, column: str, epoch: int | None = None) -> pd.Series:
        """Return a column of the epochs at ``epoch`` (None: each seed's last one), by seed.

        All seeds count, whatever their status.
        """
        self.list_seeds(run)
        rows = self.epochs[self.epochs["run"] == run]
        if epoch is not None:
            return rows[rows["epoch"] == epoch].set_index("seed")[column].astype(float)
        return rows.sort_values("epoch").groupby("seed")[column].last().astype(float)

    def read_layers(self, run: str, quantity: str, *, at_start: bool) -> pd.DataFrame:
        """Return a quantity before or after training: a row a seed, a column a layer in order.

        Raises:
            NotRun: the run has no result, or none with a record of its layers.
        """
        self.list_seeds(run)
        rows = self.layers[self.layers["run"] == run]
        if rows.empty:
            raise NotRun(run, "no record of its layers")
        ends = rows.groupby("seed")["epoch"].transform("min" if at_start else "max")
        return rows[rows["epoch"] == ends].pivot_table(
            index="seed", columns="place", values=quantity
        )
