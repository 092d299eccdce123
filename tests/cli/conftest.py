"""Let pytest explain the assertions of the shared helpers."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.tiny")
