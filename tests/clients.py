"""What HTTP clients of tests have in common."""

import httpx

TLS = httpx.create_ssl_context(trust_env=False)
"""Whom a client trusts, as by default; made once, because reading all authorities takes longer than most of what is asked."""
