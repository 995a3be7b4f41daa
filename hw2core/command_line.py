"""The course's command line: ``python -m hw2core.experiments run-exp``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any


def parse_cli(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the arguments of ``run_experiment`` that a command line gives."""
    parser = argparse.ArgumentParser(prog="python -m hw2core.experiments")
    commands = parser.add_subparsers(dest="command", required=True)
    exp = commands.add_parser("run-exp", help="train one network and write its result")
    exp.add_argument("-n", "--run-name", required=True, help="name of the run and its output file")
    exp.add_argument("-o", "--out-dir", help="folder of the result")
    exp.add_argument("-s", "--seed", type=int, help="random seed")
    exp.add_argument("-d", "--device", help="cuda, mps or cpu")
    exp.add_argument("--bs-train", type=int, metavar="N", help="images a training batch")
    exp.add_argument("--bs-test", type=int, metavar="N", help="images an evaluation batch")
    exp.add_argument("--batches", type=int, metavar="N", help="batches an epoch")
    exp.add_argument("--epochs", type=int, metavar="N", help="largest number of epochs")
    exp.add_argument("--early-stopping", type=int, metavar="N", help="epochs without improvement")
    exp.add_argument("--checkpoints", metavar="FILE", help="weights, without extension")
    exp.add_argument("--lr", type=float, help="learning rate")
    exp.add_argument("--reg", type=float, help="weight decay")
    widths: dict[str, Any] = {"type": int, "nargs": "+", "required": True}
    exp.add_argument("-K", "--filters-per-layer", metavar="K", help="widths", **widths)
    exp.add_argument(
        "-L", "--layers-per-block", type=int, metavar="L", required=True, help="layers a width"
    )
    exp.add_argument(
        "-P", "--pool-every", type=int, metavar="P", required=True, help="layers before a pool"
    )
    exp.add_argument("-H", "--hidden-dims", metavar="H", help="hidden linear widths", **widths)
    exp.add_argument("-M", "--model-type", help="cnn, resnet or ycn")
    given = vars(parser.parse_args(arguments))
    # What was not given keeps the default of run_experiment: it stands there only.
    return {k: v for k, v in given.items() if v is not None and k != "command"}
