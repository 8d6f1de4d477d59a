"""Tests keep their objects to themselves: the user's cache is left alone."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from chainrule.emit.native import cache


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        cache.default.cache_clear()
        yield
    cache.default.cache_clear()
