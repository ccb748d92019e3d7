"""The browser that shows reports."""

from __future__ import annotations

from tests.browser import browser as browser
