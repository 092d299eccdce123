import pytest

pytest.register_assert_rewrite("tests.verification.case", "tests.verification.tools")
