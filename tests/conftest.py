"""What every test relies on: fixed seeds, one precision for the oracles, no window system, a cache of compiled code of its own."""

import atexit
import os
import shutil
import tempfile
import zlib

# Read once, when the library in question is first imported; test workers inherit them.
os.environ.setdefault("JAX_ENABLE_X64", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
if "CHAINRULE_CACHE_DIR" not in os.environ:  # the user's cache is left alone; processes that tests start share this one
    os.environ["CHAINRULE_CACHE_DIR"] = tempfile.mkdtemp(prefix="chainrule-tests-")
    atexit.register(shutil.rmtree, os.environ["CHAINRULE_CACHE_DIR"], ignore_errors=True)

import hypothesis
import numpy as np
import pytest

# A busy machine stalls at times, so no example has a deadline. `ci` draws the same examples on every run, so that a red build
# can be repeated.
hypothesis.settings.register_profile("ci", derandomize=True, database=None, deadline=None, max_examples=50)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=1000, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A number that belongs to this test: the same on every machine, and unchanged when other tests come or go."""
    return zlib.crc32(request.node.nodeid.encode())


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """This test's own stream of random numbers."""
    return np.random.default_rng(seed)
