"""The secrets that sign what we give out: two at a time, one of them perhaps made of the master key."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path

import pytest

from services.intake.domain.tokens import Signer, secrets_to_sign
from services.intake.settings import IntakeSettings

MASTER = b"m" * 32
NEW, OLD = (base64.b64encode(letter * 32).decode() for letter in (b"n", b"o"))
TICKET, FORM = "0f8fad5b-d9cb-469f-a165-70867728950e", "contact"
# How each kind of name is given out, and read again.
KINDS: dict[str, tuple[Callable[[Signer], str], Callable[[Signer, str], object]]] = {
    "reply address": (lambda s: s.reply_address(TICKET, "support@x.example"), lambda s, text: s.ticket_of_address(text)),
    "message": (lambda s: s.message_ref(TICKET, TICKET, "x.example"), lambda s, text: s.own_message(text)),
    "history": (lambda s: s.history_token(TICKET), lambda s, text: s.ticket_of_history(text)),
    "status": (lambda s: s.status_token(TICKET), lambda s, text: s.ticket_of_status(text)),
    "survey": (lambda s: s.survey_token(TICKET), lambda s, text: s.survey_of(text)),
    "form": (lambda s: s.form_token(FORM, 7, b"12345678"), lambda s, text: s.read_form_token(FORM, text)),
    "file": (lambda s: s.file_token(TICKET, 7), lambda s, text: s.read_file_token(text)),
    "loop mark": (lambda s: s.loop_mark(), lambda s, text: s.is_loop_mark(text) or None),
}
of_each_kind = pytest.mark.parametrize("kind", KINDS)


def signer(listed: str = "", **more: object) -> Signer:
    values = {"master_key": base64.b64encode(MASTER).decode(), "intake_signing_secrets": listed, **more}
    return IntakeSettings.model_validate(values).signer()


def changed(text: str) -> str:
    """With another letter in its signature."""
    at = text.index("@") - 1 if "@" in text else len(text) - 1
    return text[: at - 1] + ("b" if text[at - 1] != "b" else "c") + text[at:]


@of_each_kind
def test_what_the_old_secret_signed_is_good_while_both_are_set_and_no_longer_when_it_is_gone(kind: str) -> None:
    make, read = KINDS[kind]
    before, both, after = signer(OLD), signer(f"{NEW},{OLD}"), signer(NEW)
    given = make(before)
    assert read(both, given) is not None
    assert read(after, given) is None
    assert make(both) == make(after) != given
    assert read(after, make(both)) is not None


@of_each_kind
def test_one_changed_letter_is_refused_whichever_secret_signed(kind: str) -> None:
    make, read = KINDS[kind]
    for one in (signer(OLD), signer(NEW), signer()):
        assert read(signer(f"{NEW},{OLD},derived"), make(one)) is not None
        assert read(signer(f"{NEW},{OLD},derived"), changed(make(one))) is None


@of_each_kind
def test_without_a_secret_of_its_own_the_one_made_of_the_master_key_signs_and_stays_good_as_long_as_it_is_listed(
    kind: str,
) -> None:
    make, read = KINDS[kind]
    always = Signer(hmac.digest(MASTER, b"intake: addresses and links, version 1", hashlib.sha256))
    assert make(signer()) == make(always) == make(signer("derived"))
    assert read(signer(f"{NEW},derived"), make(always)) is not None
    assert read(signer(NEW), make(always)) is None


@of_each_kind
def test_while_the_master_key_is_changed_what_was_signed_by_what_was_made_of_the_old_one_stays_good(kind: str) -> None:
    make, read = KINDS[kind]
    old, new = (base64.b64encode(one).decode() for one in (MASTER, b"n" * 32))
    given, both, after = make(signer()), signer(master_key=f"{new},{old}"), signer(master_key=new)
    assert read(both, given) is not None
    assert make(both) == make(after) != given
    assert read(after, given) is None


def test_secrets_are_read_from_a_file_by_comma_or_by_line(tmp_path: Path) -> None:
    file = tmp_path / "signing"
    file.write_text(f"{NEW}\n{OLD}, derived\n")
    assert signer(intake_signing_secrets_file=file).loop_mark() == signer(NEW).loop_mark()
    assert signer(intake_signing_secrets_file=file).is_loop_mark(signer().loop_mark())
    assert secrets_to_sign(file.read_text()) == (b"n" * 32, b"o" * 32, None)


def test_what_providers_sign_with_is_read_so_too(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("new\nold, older\n")
    names = ("intake_twilio_tokens_file", "intake_mailgun_keys_file", "intake_provider_credentials_file")
    chosen = IntakeSettings.model_validate(dict.fromkeys(names, file))
    told = chosen.mail_providers
    assert chosen.twilio_tokens == told.mailgun == told.credentials == ("new", "old", "older")


@pytest.mark.parametrize("listed", [",", "x", NEW[:-5], f"{NEW},Derived", f"{NEW} {OLD}", base64.b64encode(b"n" * 31).decode()])
def test_what_is_no_secret_is_refused_at_the_start_and_not_quoted(listed: str) -> None:
    with pytest.raises(ValueError, match="secret to sign with") as refused:
        signer(listed)
    assert listed not in str(refused.value) or len(listed) == 1


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_a_file_that_is_missing_or_empty_is_refused_and_nothing_else_taken_for_it(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "signing"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ValueError, match=r"secret to sign with|cannot be read"):
        signer(intake_signing_secrets_file=file)


def test_a_veiled_name_is_the_same_under_one_secret_and_tells_nothing_without_it() -> None:
    assert signer().veil("mail\nana@b.example") == signer().veil("mail\nana@b.example")
    assert len({signer(one).veil(name) for one in (NEW, OLD) for name in ("mail\na", "mail\nb")}) == 4
