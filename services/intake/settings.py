"""The settings of intake, beside those that all services share."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import Field, SecretStr, field_validator, model_validator

from services.intake.channels.authentication import Border
from services.intake.channels.mail_server import MailServer
from services.intake.channels.provided import ProviderSecrets
from services.intake.channels.sendgrid import check_key
from services.intake.channels.signed import secrets_of
from services.intake.channels.sns import key_of
from services.intake.channels.twilio_sms import TwilioAccount
from services.intake.domain.languages import TELLABLE, TOLD, told
from services.intake.domain.reach import Reach
from services.intake.domain.threads import Rules
from services.intake.domain.tokens import Signer, secrets_to_sign
from services.intake.imap_settings import Mailbox, mailboxes_of
from services.intake.s3_settings import Buckets, buckets_of
from services.intake.settings_text import given, listed, parts
from services.intake.smtp_peers import Network, networks_of
from shared.settings import Settings


class IntakeSettings(Settings):
    """From the environment, prefix PATCHBAY_."""

    intake_port: int = Field(8101, ge=1, le=65535, description="HTTP port of intake")
    smtp_port: int = Field(8125, ge=1, le=65535, description="port on which mail comes in")
    smtp_max_bytes: int = Field(25_000_000, ge=10_000, description="largest mail taken, whichever way it comes")
    smtp_per_peer: int = Field(
        20,
        ge=0,
        description="conversations that one address (of IPv6: all of a /64) may hold with the mail port at a time; more are told"
        " to come later (421); 0: as many as there is room for",
    )
    smtp_per_network: int = Field(
        40,
        ge=0,
        description="the same of all addresses of one network, a /24 of IPv4 or a /48 of IPv6, of the hundred there are in all",
    )
    smtp_relays: str = Field(
        "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7",
        description="addresses and networks of your own mail servers, comma-separated, which may hold as many as there is room"
        " for: all mail may come through one of them; by default all that are private",
    )
    smtp_cert_file: Path | None = Field(None, description="PEM certificate; with the key, incoming mail may use STARTTLS")
    smtp_key_file: Path | None = Field(None, description="PEM private key of the certificate")
    intake_public_url: str = Field(
        "", description="the URL under which customers and Twilio reach intake; http://127.0.0.1 and its port by default"
    )
    intake_authserv_ids: str = Field(
        "",
        description="names under which your mail servers write Authentication-Results, comma-separated: those are believed, where"
        " all mail comes through them; `-`: without a name, as Microsoft 365 writes it; `sendgrid`, `mailgun`: what these say in"
        " their requests (docs/providers.md)",
    )
    intake_border_hosts: str = Field(
        "",
        description="what your mail servers are called in Received, comma-separated, `*.example.com`: all below; or as they sign",
    )
    intake_imap_mailboxes: SecretStr = Field(
        SecretStr(""),
        description="mailboxes that are read by IMAP, a JSON list of objects: `host`, `user`, `inbox` (id of the e-mail inbox),"
        " `password` or `password_file`, or for XOAUTH2 `token_file` or `oauth` (docs/providers.md); where need be `port` (993),"
        " `tls` (`implicit`, `starttls`, `none`), `folder` (INBOX), `seen` (true: mark what was taken as read), `move_to`"
        " (folder for what was taken). All mail of the folder is taken; what"
        " came there more than a week before is not confirmed to its sender",
    )
    intake_imap_mailboxes_file: Path | None = Field(None, description="file with them, instead of the variable")
    intake_mail_host: str = Field("127.0.0.1", description="mail server that takes our mail on")
    intake_mail_port: int = Field(8126, ge=1, le=65535, description="its port")
    intake_mail_username: str | None = Field(None, description="login at the mail server")
    intake_mail_password: SecretStr | None = Field(
        None,
        description="password at the mail server; said over TLS only (STARTTLS, or from the first byte), but on this machine",
    )
    intake_mail_tls: bool = Field(False, description="TLS from the first byte (port 465)")
    intake_mail_from: str = Field("support@patchbay.invalid", description="sender where no e-mail inbox is configured")
    intake_sender_name: str = Field("", description="name shown as the sender of mail to customers")
    intake_attempt_seconds: float = Field(
        15.0, ge=1, le=300, description="how long an attempt to send may take; two thirds longer and another process tries"
    )
    intake_zone: str = Field("UTC", description="time zone in which customers whose own is not known are told times")
    intake_languages: str = Field(
        ",".join(TOLD),
        description="languages that messages are told to be in, comma-separated (ISO 639-1; also "
        + ", ".join(sorted(TELLABLE - set(TOLD)))
        + "); what is in another is `und`, as what is too short to tell",
    )
    intake_twilio_url: str = Field("https://api.twilio.com", description="Twilio's REST API")
    intake_twilio_account: str = Field("", description="Twilio's account SID, for what goes out")
    intake_twilio_tokens: SecretStr = Field(
        SecretStr(""),
        description="Twilio's auth tokens, comma-separated: the first is used outward, all verify what comes in",
    )
    intake_twilio_tokens_file: Path | None = Field(None, description="file with the tokens, instead of the variable")
    intake_media_hosts: str = Field(
        "api.twilio.com,mms.twiliocdn.com,media.twiliocdn.com,s3-external-1.amazonaws.com",
        description="hosts from which files of messages may be fetched, over https, comma-separated; `*.example.com`: all below",
    )
    intake_media_trusted: str = Field(
        "",
        description="places (`host:port`, comma-separated) from which they may also be fetched over http and at private"
        " addresses: a provider of your own, or one that is played",
    )
    intake_media_max_bytes: int = Field(25_000_000, ge=1, description="largest file that is fetched")
    intake_mailgun_keys: SecretStr = Field(
        SecretStr(""), description="Mailgun's signing keys, comma-separated; any of them verifies what it sends"
    )
    intake_mailgun_keys_file: Path | None = Field(None, description="file with the keys, instead of the variable")
    intake_sendgrid_inbound_keys: str = Field(
        "", description="SendGrid's public keys of Inbound Parse, comma-separated; where set, mail must be signed"
    )
    intake_sendgrid_event_keys: str = Field("", description="those of its event webhook; where set, events must be signed")
    intake_ses_topics: str = Field("", description="ARNs of the SNS topics by which Amazon SES may speak, comma-separated")
    intake_ses_certificate_file: Path | None = Field(
        None,
        description="PEM certificate beside those of SNS: what its key signed is taken as SNS's, to try it (`patchbay send ses`)",
    )
    intake_s3_buckets: SecretStr = Field(
        SecretStr(""),
        description="buckets of S3 from which mail that Amazon SES stored may be fetched, a JSON list of objects: `bucket`,"
        " `region`, `access_key` and `secret_key` (perhaps `session_token`), or `credentials_file` with them, a line each;"
        " `endpoint`: who speaks like S3 in Amazon's place (docs/providers.md)",
    )
    intake_s3_buckets_file: Path | None = Field(None, description="file with them, instead of the variable")
    intake_provider_credentials: SecretStr = Field(
        SecretStr(""),
        description="what is in the URLs that mail providers call, comma-separated: `user:password`, or a word for ?token=; with"
        " `postmark=` before it (`mailgun=`, `sendgrid=`, `ses=`) it is that one's alone, else all but SES must bring one;"
        " Postmark and SendGrid without keys are taken with one only",
    )
    intake_provider_credentials_file: Path | None = Field(None, description="file with them, instead of the variable")
    intake_close_after_days: int = Field(7, ge=0, le=3650, description="a ticket resolved for so long is closed")
    intake_another_matter_days: int = Field(
        30, ge=0, le=3650, description="a mail that answers so old a ticket under another subject opens a ticket of its own"
    )
    intake_recycled_days: int = Field(
        90,
        ge=0,
        le=3650,
        description="a number that was silent for so long and writes under another name is taken for somebody else's; 0: never",
    )
    intake_mail_per_minute: int = Field(
        120,
        ge=0,
        description="mails of one sender that are taken in a minute, by all processes together; more are put off, so that they"
        " are sent again, or quarantined where nobody would do that (docs/decisions/0018); 0: as many as come, here and below",
    )
    intake_sms_per_minute: int = Field(
        120, ge=0, description="text messages of one number in a minute; with more, a ticket that they open is quarantined"
    )
    intake_form_per_minute: int = Field(20, ge=0, description="submissions of a form from one address in a minute")
    intake_sender_per_minute: int = Field(10, ge=0, description="submissions of a form by one address or number in a minute")
    intake_key_per_minute: int = Field(60_000, ge=0, description="contacts posted with one API key in a minute")
    intake_signing_secrets: SecretStr = Field(
        SecretStr(""),
        description="what signs links to tickets, questions and files, reply addresses, Message-IDs and the tokens of forms:"
        " base64 of at least 32 bytes, comma-separated; the first signs, all verify. `derived` is the one that is made of the"
        " master key, the only one by default: what it signed is good as long as it is in the list (docs/operations.md)",
    )
    intake_signing_secrets_file: Path | None = Field(None, description="file with them, instead of the variable")
    intake_webhook_secrets: SecretStr = Field(
        SecretStr(""),
        description="secrets by inbox, of signed forms and of webhooks that replies are posted to:"
        " contact=whsec_…,whsec_…;shop=whsec_… (any of several verifies, all of them sign)",
    )
    intake_webhook_secrets_file: Path | None = Field(None, description="file with them, an inbox a line, instead of the variable")
    intake_parked_days: int = Field(30, ge=1, description="how long what could not be taken is kept")
    intake_parked_bytes: int = Field(
        1_000_000_000,
        ge=1,
        description="how much is kept at most of what came by one way (SMTP, IMAP, a provider, forms …) and could not be taken,"
        " in bytes; what comes then is put off until somebody has seen to it (451, 503), or left in its mailbox",
    )

    @field_validator("smtp_relays")
    @classmethod
    def _are_networks(cls, relays: str) -> str:
        networks_of(relays)
        return relays

    @field_validator("intake_languages")
    @classmethod
    def _can_be_told(cls, languages: str) -> str:
        told(parts(languages))
        return languages

    @model_validator(mode="after")
    def _secrets_are_secrets(self) -> IntakeSettings:
        secrets_of(self.intake_webhook_secrets.get_secret_value())
        for key in (*parts(self.intake_sendgrid_inbound_keys), *parts(self.intake_sendgrid_event_keys)):
            check_key(key)
        try:
            _ = self.mailboxes, self.ses_certificate, self.signing_secrets, self.mail_providers, self.buckets
        except OSError as error:
            raise ValueError(f"{error.filename} cannot be read: {error.strerror}") from None
        return self

    @property
    def rules(self) -> Rules:
        """What is set about who is who, and which ticket a contact belongs to."""
        return Rules(timedelta(days=self.intake_another_matter_days), timedelta(days=self.intake_recycled_days))

    @property
    def relays(self) -> tuple[Network, ...]:
        """From where all mail may come."""
        return networks_of(self.smtp_relays)

    @property
    def languages(self) -> tuple[str, ...]:
        """Those that messages are told to be in."""
        return parts(self.intake_languages)

    @property
    def mailboxes(self) -> tuple[Mailbox, ...]:
        """What is read by IMAP. Raises ValueError."""
        return mailboxes_of(given(self.intake_imap_mailboxes, self.intake_imap_mailboxes_file))

    @property
    def buckets(self) -> Buckets:
        """From where mail that stands in S3 may be fetched. Raises ValueError, OSError."""
        return buckets_of(given(self.intake_s3_buckets, self.intake_s3_buckets_file))

    @property
    def public_url(self) -> str:
        """Without a slash at its end."""
        return (self.intake_public_url or f"http://127.0.0.1:{self.intake_port}").rstrip("/")

    @property
    def mail_server(self) -> MailServer:
        """Where replies go."""
        password = self.intake_mail_password.get_secret_value() if self.intake_mail_password else None
        return MailServer(self.intake_mail_host, self.intake_mail_port, self.intake_mail_username, password, self.intake_mail_tls)

    @property
    def twilio_tokens(self) -> tuple[str, ...]:
        """All tokens with which Twilio may sign."""
        return listed(self.intake_twilio_tokens, self.intake_twilio_tokens_file)

    @property
    def border(self) -> Border:
        """Whose word about senders of mail is believed."""
        return Border.of(parts(self.intake_authserv_ids), parts(self.intake_border_hosts))

    @property
    def media_reach(self) -> Reach:
        """Where files of messages may be fetched from."""
        return Reach.of(parts(self.intake_media_hosts), parts(self.intake_media_trusted))

    @property
    def mail_providers(self) -> ProviderSecrets:
        """What tells requests of mail providers from others'."""
        return ProviderSecrets(
            mailgun=listed(self.intake_mailgun_keys, self.intake_mailgun_keys_file),
            sendgrid_inbound=parts(self.intake_sendgrid_inbound_keys),
            sendgrid_events=parts(self.intake_sendgrid_event_keys),
            ses_topics=frozenset(parts(self.intake_ses_topics)),
            credentials=listed(self.intake_provider_credentials, self.intake_provider_credentials_file),
        )

    @property
    def ses_certificate(self) -> rsa.RSAPublicKey | None:
        """The key that signs like SNS. Raises ValueError, OSError."""
        file = self.intake_ses_certificate_file
        return key_of(file.read_bytes()) if file is not None else None

    @property
    def webhook_secrets(self) -> dict[str, tuple[str, ...]]:
        """The secrets of signed requests, by inbox. Raises ValueError."""
        return secrets_of(given(self.intake_webhook_secrets, self.intake_webhook_secrets_file))

    @property
    def twilio_account(self) -> TwilioAccount | None:
        """As whom SMS are sent; None when that is not set up."""
        tokens = self.twilio_tokens
        if not tokens or not self.intake_twilio_account:
            return None
        return TwilioAccount(self.intake_twilio_url, self.intake_twilio_account, tokens[0])

    @property
    def signing_secrets(self) -> tuple[bytes | None, ...]:
        """The first signs, all verify; None is the one that is made of the master key. Raises ValueError, OSError."""
        text, file = self.intake_signing_secrets, self.intake_signing_secrets_file
        return secrets_to_sign(given(text, file)) if text.get_secret_value() or file is not None else (None,)

    def signer(self) -> Signer:
        """Who signs whatever we give out, and reads it again. Raises SettingsError."""
        purpose = b"intake: addresses and links, version 1"
        made = [hmac.digest(key, purpose, hashlib.sha256) for key in self.master_keys()]
        return Signer(*(secret for one in self.signing_secrets for secret in (made if one is None else [one])))
