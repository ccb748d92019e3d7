"""``python -m protovine``."""

from protovine.cli import main

main()
