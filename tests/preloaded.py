"""What `tests.copies` has imported and read before it makes copies."""

from protovine.cli import main, node  # noqa: F401
from protovine.net import config, member, service  # noqa: F401
from protovine.system import SystemSettings, resolve, warm

warm([resolve("default", {}, SystemSettings)])
