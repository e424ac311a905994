"""Spam as the servers before us mark it, in each one's headers."""

import pytest

from services.intake.channels import mime
from services.intake.channels.spam_scores import verdict_of


@pytest.mark.parametrize(
    ("headers", "spam", "score_millis"),
    [
        ("", False, None),
        ("X-Spam-Flag: YES\nX-Spam-Score: 8.1\nX-Spam-Level: ********\n", True, 8100),
        ("X-Spam-Status: Yes, score=5.3 required=5.0 tests=BAYES_99,HTML_MESSAGE\n\tautolearn=no version=4.0.0\n", True, 5300),
        ("X-Spam-Status: Yes\nX-Spam-Score: 11.2\nX-Spam-Tests: DKIM_SIGNED,SPF_PASS\n", True, 11200),  # Postmark
        ("X-Spam-Status: No, score=-1.9 required=5.0 tests=BAYES_00\n", False, None),
        ("X-Spam-Flag: NO\nX-Spam-Score: 4.2\n", False, None),
        ("X-Mailgun-SFlag: Yes\nX-Mailgun-SScore: 5.6\n", True, 5600),
        ("X-Mailgun-SFlag: No\nX-Mailgun-SScore: 0.7\n", False, None),
        ("X-Mailgun-SScore: 7.0\n", True, 7000),
        ("X-SES-Spam-Verdict: FAIL\nX-SES-Virus-Verdict: PASS\n", True, None),
        ("X-SES-Spam-Verdict: GRAY\n", False, None),
        ("X-SES-Spam-Verdict: PASS\nX-SES-Virus-Verdict: FAIL\n", True, None),
        ("X-Spam-Score: nonsense\nX-Mailgun-SScore: 1e9\nX-Spam-Status: yesterday\n", False, None),
    ],
)
def test_spam_is_what_a_server_before_us_calls_so(headers: str, spam: bool, score_millis: int | None) -> None:
    verdict = verdict_of(mime.parse(f"From: a@b.example\n{headers}\nx\n".encode()))
    assert (verdict is not None) is spam
    if verdict is not None:
        assert (verdict.by, verdict.score_millis) == ("provider", score_millis)


@pytest.mark.parametrize(("headers", "apart"), [("X-SES-Virus-Verdict: FAIL\n", True), ("X-SES-Spam-Verdict: FAIL\n", False)])
def test_a_virus_is_no_guess_and_a_score_is_one(headers: str, apart: bool) -> None:
    verdict = verdict_of(mime.parse(f"From: a@b.example\n{headers}\nx\n".encode()))
    assert verdict is not None
    assert (verdict.rule_id, verdict.apart) == ("virus" if apart else None, apart)
