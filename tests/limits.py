"""Whole numbers at which something ends: the types of PostgreSQL, of JSON's readers, of Python's text."""

from hypothesis import strategies as st

NEAR = (0, 1, 10, 2**15, 2**31, 2**32, 2**53, 2**63, 2**64, 10**20, 10**40, 10**400)
WHOLE_NUMBERS = st.builds(
    lambda near, apart, sign: sign * (near + apart), st.sampled_from(NEAR), st.integers(-1, 1), st.sampled_from([1, -1])
)
