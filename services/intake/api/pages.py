"""Small pages for people: the form, a refusal, how a ticket stands. In four languages, without JavaScript, nothing loaded."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from fastapi import Request

from services.intake.domain import confirmation
from services.intake.domain.confirmation import Language
from services.intake.domain.inboxes import Inbox
from services.intake.store.tickets import StatusPage
from shared.http import Problem

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
}
STYLE = (
    "body{font:1.1rem/1.6 system-ui,sans-serif;max-width:36rem;margin:3rem auto;padding:0 1rem}"
    "label{display:block;margin:.8rem 0}input,textarea{display:block;width:100%;box-sizing:border-box;font:inherit;padding:.4rem}"
    "button{font:inherit;padding:.4rem 1.5rem}.hp{position:absolute;inset-inline-start:-100vw}"
)


@dataclass(frozen=True, slots=True)
class Wording:
    """What the form and its refusals say in one language."""

    title: str
    name: str
    email: str
    phone: str
    subject: str
    text: str
    send: str
    refused: str
    reasons: dict[str, str]
    again: str


WORDINGS: dict[Language, Wording] = {
    "he": Wording(
        title="פנייה אלינו",
        name="שם",
        email='דוא"ל',
        phone="טלפון",
        subject="נושא",
        text="במה נוכל לעזור?",
        send="שליחה",
        refused="הטופס לא נשלח",
        reasons={
            "email": 'יש לכתוב כתובת דוא"ל תקינה או מספר טלפון, כדי שנוכל להשיב.',
            "phone": "מספר הטלפון אינו תקין.",
            "text": "יש לכתוב במה מדובר.",
            "token": "הטופס היה פתוח זמן רב או קצר מדי. יש לטעון אותו מחדש.",
            "too-many-requests": "נשלחו פניות רבות מדי. אפשר לנסות שוב בעוד דקה.",
            "temporarily-unavailable": "לא ניתן לשמור את הפנייה כרגע. אפשר לנסות שוב בעוד רגע.",
        },
        again="חזרה לטופס",
    ),
    "ar": Wording(
        title="تواصل معنا",
        name="الاسم",
        email="البريد الإلكتروني",
        phone="الهاتف",
        subject="الموضوع",
        text="كيف يمكننا مساعدتك؟",
        send="إرسال",
        refused="لم يُرسَل النموذج",
        reasons={
            "email": "اكتب عنوان بريد إلكتروني صحيحًا أو رقم هاتف لنتمكن من الرد.",
            "phone": "رقم الهاتف غير صحيح.",
            "text": "اكتب موضوع طلبك.",
            "token": "بقي النموذج مفتوحًا مدة طويلة أو قصيرة جدًا. أعد تحميله.",
            "too-many-requests": "أُرسلت طلبات كثيرة. حاول مرة أخرى بعد دقيقة.",
            "temporarily-unavailable": "لا يمكن حفظ الطلب الآن. حاول مرة أخرى بعد قليل.",
        },
        again="العودة إلى النموذج",
    ),
    "ro": Wording(
        title="Scrieți-ne",
        name="Nume",
        email="E-mail",
        phone="Telefon",
        subject="Subiect",
        text="Cu ce vă putem ajuta?",
        send="Trimite",
        refused="Formularul nu a fost trimis",
        reasons={
            "email": "Scrieți o adresă de e-mail corectă sau un număr de telefon, ca să vă putem răspunde.",
            "phone": "Numărul de telefon nu este corect.",
            "text": "Scrieți despre ce este vorba.",
            "token": "Formularul a fost deschis prea mult sau prea puțin. Încărcați-l din nou.",
            "too-many-requests": "S-au trimis prea multe solicitări. Încercați din nou peste un minut.",
            "temporarily-unavailable": "Solicitarea nu poate fi păstrată acum. Încercați din nou peste puțin timp.",
        },
        again="Înapoi la formular",
    ),
    "en": Wording(
        title="Contact us",
        name="Name",
        email="E-mail",
        phone="Phone",
        subject="Subject",
        text="How can we help?",
        send="Send",
        refused="The form was not sent",
        reasons={
            "email": "Give a correct e-mail address or a telephone number, so that we can answer.",
            "phone": "The telephone number is not correct.",
            "text": "Write what it is about.",
            "token": "The form was open too long or too short. Load it again.",
            "too-many-requests": "Too many requests were sent. Try again in a minute.",
            "temporarily-unavailable": "Your request cannot be stored just now. Try again in a moment.",
        },
        again="Back to the form",
    ),
}


def language_of(request: Request, inbox: Inbox) -> Language:
    """The language of a page: as asked for by `?lang=`, else the browser's first that we speak, else the inbox's."""
    browser = (part.partition(";")[0].strip() for part in request.headers.get("accept-language", "").split(","))
    for wanted in (request.query_params.get("lang", ""), *browser):
        if wanted.partition("-")[0] in WORDINGS:
            return confirmation.language_for(wanted, inbox.language)
    return confirmation.language_for("und", inbox.language)


def form_page(form_id: str, token: str, language: Language) -> str:
    """A form to fill in. `website` is a trap that no person sees."""
    words = WORDINGS[language]
    fields = "".join(
        f'<label>{escape(label)}<input name="{name}" type="{kind}" autocomplete="{by}" maxlength="{limit}" dir="{dir_}"></label>'
        for label, name, kind, by, limit, dir_ in (
            (words.name, "name", "text", "name", 200, "auto"),
            (words.email, "email", "email", "email", 320, "ltr"),
            (words.phone, "phone", "tel", "tel", 60, "ltr"),
            (words.subject, "subject", "text", "off", 500, "auto"),
        )
    )
    return _page(
        words.title,
        f'<form method="post" action="/v1/forms/{escape(form_id)}?lang={language}">{fields}'
        f'<label>{escape(words.text)}<textarea name="text" rows="8" maxlength="20000" required dir="auto"></textarea></label>'
        '<p class="hp" aria-hidden="true"><label>Website<input name="website" tabindex="-1" autocomplete="off"></label></p>'
        f'<input type="hidden" name="token" value="{escape(token)}"><button>{escape(words.send)}</button></form>',
        language,
    )


def refusal(problem: Problem, language: Language, form_id: str) -> str:
    """Why a form was not taken, in the visitor's words; what has no words of its own is said in ours."""
    words = WORDINGS[language]
    keys = [error.field.rpartition(".")[2] for error in problem.errors] or [problem.code]
    said = [words.reasons.get(key, problem.detail) for key in dict.fromkeys(keys)]
    paragraphs = "".join(f"<p>{escape(one)}</p>" for one in said)
    back = f'<p><a href="/forms/{escape(form_id)}?lang={language}">{escape(words.again)}</a></p>'
    return _page(words.refused, paragraphs + back, language)


def status_page(page: StatusPage, zone: str) -> str:
    """How a ticket stands."""
    language = confirmation.language_for(page.language, "en")
    wording = confirmation.WORDINGS[language]
    status = escape(wording.status_names.get(page.status, page.status))
    promised = ""
    if page.promised_by is not None and page.status == "new":
        promised = f"<p>{escape(wording.promised.format(time=confirmation.time_text(page.promised_by, zone)))}</p>"
    changed = escape(confirmation.time_text(page.changed_at, zone))
    return _page(
        confirmation.number_text(page.number),
        f"<p><strong>{status}</strong></p>{promised}<p><small>{changed}</small></p>",
        language,
    )


def _page(title: str, body: str, language: Language) -> str:
    return (
        f'<!DOCTYPE html><html lang="{language}" dir="{confirmation.WORDINGS[language].direction}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>"
    )
