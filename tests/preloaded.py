"""What `tests.copies` has imported and read before it makes copies."""

import os

# A copy of a process has none of its threads, and would wait for them.
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

from protovine import cli  # noqa: F401
from protovine.experiments import run_sweep  # noqa: F401
from protovine.experiments.define import prepare  # noqa: F401
from protovine.experiments.live import member as live_member  # noqa: F401
from protovine.experiments.report import pages, tables  # noqa: F401
from protovine.experiments.run import folder, runner  # noqa: F401
from protovine.net import config, member, service  # noqa: F401
from protovine.system import SystemSettings, resolve, warm

warm([resolve(name, {}, SystemSettings) for name in ("default", "paper-base")])
