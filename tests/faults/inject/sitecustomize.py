"""Breaks a process from within, at a chosen step of a chosen write: for tests only.

Python runs this before anything else when its folder is on PYTHONPATH. The variable HW2_FAULT says
what to do, as JSON: in processes of ``script``, when the audit event ``event`` (``open``,
``os.rename``, ``os.remove``) concerns a file whose name matches ``name`` for the ``nth`` time, then
``action``: ``kill`` the process, ``kill_group`` with all that belongs to it, or pretend that the
disk is ``full``. With ``size``, this comes when a file has so many bytes, after the event: in the
middle of a write.
"""

import errno
import json
import os
import re
import resource
import signal
import sys
from pathlib import Path


def _install(fault):
    if not any(part.endswith(fault["script"]) for part in sys.orig_argv):
        return
    name, left = re.compile(fault["name"]), [fault["nth"]]

    def hook(event, arguments):
        if event != fault["event"]:
            return
        # A rename concerns what it makes; a file is opened or removed under one name.
        path = arguments[1 if event == "os.rename" else 0]
        if not isinstance(path, str | os.PathLike) or not name.search(Path(path).name):
            return
        left[0] -= 1
        # A disk that is full stays full; a kill comes once.
        if left[0] == 0 or (left[0] < 0 and fault["action"] == "full"):
            _act(fault, os.fspath(path))

    sys.addaudithook(hook)


def _act(fault, path):
    full = fault["action"] == "full"
    if "size" in fault:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN if full else signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault["size"], fault["size"]))
    elif full:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    elif fault["action"] == "kill_group":
        os.killpg(os.getpgrp(), signal.SIGKILL)
    else:
        os.kill(os.getpid(), signal.SIGKILL)


if "HW2_FAULT" in os.environ:
    _install(json.loads(os.environ["HW2_FAULT"]))
