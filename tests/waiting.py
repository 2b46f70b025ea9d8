# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""Waiting for what other processes do."""

import time


def wait_for(condition, what, patience=120):
    """The first true value of condition(); after 'patience' seconds an error that says 'what', a text
    or a function that makes one then."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited in vain: {what() if callable(what) else what}")
