"""Claims about part 2: the from-scratch network, its optimizers and dropout."""

from __future__ import annotations

from hw2core.analysis.claims.core import Finding, State, claim
from hw2core.analysis.claims.evidence import Evidence
from hw2core.analysis.claims.judging import judge_difference, judge_level, judge_pairs
from hw2core.analysis.curious_epochs import find_curious_epoch

DROPOUTS = [{"less": "0", "more": "0.4"}, {"less": "0.4", "more": "0.8"}]
NAMES = {"vanilla": "plain SGD", "momentum": "momentum", "rmsprop": "RMSProp"}
COURSE_ACCURACY = 35.0  # what the course asks of a short training


@claim("The from-scratch network learns its few images by heart, with every seed.")
def overfit_reaches_all(evidence: Evidence) -> Finding:
    run = "part2_overfit"
    evidence.list_seeds(run)
    curves = evidence.epochs[evidence.epochs["run"] == run]
    best = curves.groupby("seed")["train_accuracy"].max()
    whole = curves[curves["train_accuracy"] == 100.0].groupby("seed")["epoch"].min()
    numbers = f"{len(whole)} of {len(best)} seeds reach 100 % on the training images"
    if len(whole):
        first = dict.fromkeys((str(whole.min()), str(whole.max())))
        numbers += f", first in epoch {' to '.join(first)}"
    if len(best) == 1:
        return Finding(State.UNDECIDED, f"one seed only: {numbers}")
    return Finding(State.SUPPORTED if len(whole) == len(best) else State.CONTRADICTED, numbers)


@claim(
    f"A short training with {{name}} exceeds {COURSE_ACCURACY:.0f} % on the test images.",
    [{"optimizer": key, "name": name} for key, name in NAMES.items()],
)
def optimizer_suffices(evidence: Evidence, optimizer: str, name: str) -> Finding:
    return judge_level(evidence.measure(f"part2_optim_{optimizer}"), COURSE_ACCURACY)


@claim(
    "At its own best rate {name} ends more accurate than plain SGD.",
    [{"optimizer": key, "name": NAMES[key]} for key in ("momentum", "rmsprop")],
)
def adapted_beats_vanilla(evidence: Evidence, optimizer: str, name: str) -> Finding:
    return judge_difference(evidence, f"part2_optim_{optimizer}", "part2_optim_vanilla")


@claim(
    "After one epoch {name} is ahead of plain SGD on the validation images.",
    [{"optimizer": key, "name": NAMES[key]} for key in ("momentum", "rmsprop")],
)
def adapted_starts_faster(evidence: Evidence, optimizer: str, name: str) -> Finding:
    first, second = (
        evidence.read_curve(f"part2_optim_{key}", "validation_accuracy", 1)
        for key in (optimizer, "vanilla")
    )
    return judge_pairs(first, second)


@claim(
    "At the end the gap between training and validation accuracy is wider with dropout {less} "
    "than with {more}.",
    DROPOUTS,
)
def dropout_closes_gap(evidence: Evidence, less: str, more: str) -> Finding:
    gaps = [
        evidence.read_curve(f"part2_dropout_{p}", "train_accuracy")
        - evidence.read_curve(f"part2_dropout_{p}", "validation_accuracy")
        for p in (less, more)
    ]
    return judge_pairs(gaps[0], gaps[1])


@claim("At the end the validation loss is higher with dropout {less} than with {more}.", DROPOUTS)
def dropout_lowers_loss(evidence: Evidence, less: str, more: str) -> Finding:
    losses = [evidence.read_curve(f"part2_dropout_{p}", "validation_loss") for p in (less, more)]
    return judge_pairs(losses[0], losses[1], "nats")


@claim("With dropout 0.4 the network is more accurate on the test images than with none.")
def some_dropout_helps(evidence: Evidence) -> Finding:
    return judge_difference(evidence, "part2_dropout_0.4", "part2_dropout_0")


@claim("With dropout 0.4 the network is more accurate on the test images than with 0.8.")
def much_dropout_hurts(evidence: Evidence) -> Finding:
    return judge_difference(evidence, "part2_dropout_0.4", "part2_dropout_0.8")


@claim(
    "In at least one training of the dropout comparison there is an epoch in which loss and "
    "accuracy on held-out images rise together."
)
def loss_and_accuracy_rise(evidence: Evidence) -> Finding:
    for p in ("0", "0.4", "0.8"):
        evidence.list_seeds(f"part2_dropout_{p}")
    dropout = evidence.epochs[evidence.epochs["experiment"] == "part2_dropout"]
    curious = find_curious_epoch(dropout)
    if curious is None:
        return Finding(State.CONTRADICTED, f"none in {len(dropout)} epochs")
    numbers = f"{curious.found} such epochs of {curious.compared}"
    numbers += f", the clearest in `{curious.run}`, epoch {curious.epoch}"
    return Finding(State.SUPPORTED, numbers)
