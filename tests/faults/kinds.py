"""Every kind of fault, by name.

A kind is a function of the study and a random generator. It breaks something in the middle of
real work and returns an ``Outcome``. For every kind, ``campaign`` checks that no file is wrong and
that the next call repairs everything.
"""

from __future__ import annotations

import signal

from cut_writes import DRAWINGS, TRAINING, cut_drawing_write, cut_training_write
from damages import damage_data, damage_result, damage_weights
from outcome import Kind
from stops import kill_training, kill_training_of_sweep, stop_sweep
from surroundings import fill_disk, forbid_writing, jump_clock, start_twice

KINDS: dict[str, Kind] = {
    **{f"kill in {w} write": cut_training_write(w, "kill") for w in TRAINING},
    **{f"kill in {w} write": cut_drawing_write(*DRAWINGS[w], "kill") for w in DRAWINGS},
    "kill of everything in a table write": cut_drawing_write(*DRAWINGS["table"], "kill_group"),
    "kill of everything in a figure write": cut_drawing_write(*DRAWINGS["figure"], "kill_group"),
    "kill of a training": kill_training,
    "kill of a training under Snakemake": kill_training_of_sweep,
    "kill of everything in a sweep": stop_sweep(signal.SIGKILL),
    "SIGTERM to everything": stop_sweep(signal.SIGTERM),
    "SIGINT to everything": stop_sweep(signal.SIGINT),
    "SIGHUP to everything": stop_sweep(signal.SIGHUP),
    **{f"disk full in {w} write": cut_training_write(w, "full") for w in TRAINING},
    **{f"disk full in {w} write": cut_drawing_write(*DRAWINGS[w], "full") for w in DRAWINGS},
    "disk really full": fill_disk,
    "damaged result": damage_result,
    "damaged weights": damage_weights,
    "damaged data": damage_data,
    "two Snakemakes": start_twice,
    "read-only results": forbid_writing,
    "clock jump": jump_clock,
}
