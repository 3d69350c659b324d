import signal

import pytest


@pytest.fixture
def interruptible():
    """Ctrl+C interrupts this process and those that it starts.

    A shell lets the processes that it starts in the background ignore Ctrl+C.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
