"""A certificate authority for the servers of a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from authority import Authority

from collector import connections


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """An authority that the collector knows, as it would a system's."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    connections.new_tls_context.cache_clear()
    yield authority
    connections.new_tls_context.cache_clear()
