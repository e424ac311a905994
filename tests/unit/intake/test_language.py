"""Which language a text is in: a table of texts as customers write them, long and short, mixed and signed."""

import pytest

from services.intake.channels.language import direction_of, language_of, tell_apart
from services.intake.channels.scripts import letters
from services.intake.domain.languages import TELLABLE, TOLD
from services.intake.domain.speech import language_for, spoken_to
from services.intake.settings import IntakeSettings
from shared import settings as shared_settings

LONG = {
    "en": "Good morning, I ordered a kettle two weeks ago and it has still not arrived. Could you please tell me where it is?",
    "he": "שלום, הזמנתי קומקום לפני שבועיים והוא עדיין לא הגיע. תוכלו לומר לי איפה הוא?",
    "ar": "صباح الخير، طلبت غلاية قبل أسبوعين ولم تصل بعد. هل يمكنكم إخباري أين هي؟",
    "ro": "Bună dimineața, am comandat un fierbător acum două săptămâni și încă nu a ajuns. Îmi puteți spune unde este?",
    "de": "Guten Tag, vor zwei Wochen habe ich einen Topf bestellt, und er ist noch nicht da. Können Sie mir sagen, wo er ist?",
    "fr": "Bonjour, j'ai commandé un pichet il y a deux semaines et il n'est pas encore arrivé. Pouvez-vous me dire où il est ?",
    "es": "Buenos días, pedí un hervidor hace dos semanas y todavía no ha llegado. ¿Me pueden decir dónde está?",
    "it": "Buongiorno, ho ordinato un bollitore due settimane fa e non è ancora arrivato. Potete dirmi dove si trova?",
    "pt": "Bom dia, encomendei uma chaleira há duas semanas e ainda não chegou. Podem dizer-me onde está?",
    "nl": "Goedemorgen, ik heb twee weken geleden een waterkoker besteld en hij is nog niet aangekomen. Weet u waar hij is?",
    "pl": "Dzień dobry, dwa tygodnie temu zamówiłem czajnik i jeszcze nie dotarł. Czy mogą mi Państwo powiedzieć, gdzie on jest?",
    "tr": "Günaydın, iki hafta önce bir su ısıtıcısı sipariş ettim ve hâlâ gelmedi. Nerede olduğunu söyleyebilir misiniz?",
    "sv": "God morgon, jag beställde en vattenkokare för två veckor sedan och den har inte kommit. Kan ni säga var den är?",
    "hu": "Jó reggelt, két hete rendeltem egy vízforralót, és még mindig nem érkezett meg. Meg tudják mondani, hol van?",
    "ru": "Доброе утро, две недели назад я заказал чайник, и он всё ещё не пришёл. Скажите, пожалуйста, где он?",
    "uk": "Доброго ранку, два тижні тому я замовив чайник, і він досі не прийшов. Скажіть, будь ласка, де він?",
    "bg": "Добро утро, преди две седмици поръчах чайник и той все още не е пристигнал. Можете ли да ми кажете къде е?",
    "sr": "Добро јутро, пре две недеље сам наручио кувало за воду и још увек није стигло. Можете ли да ми кажете где је?",
    "fa": "صبح بخیر، دو هفته پیش یک کتری سفارش دادم و هنوز نرسیده است. می‌توانید بگویید کجاست؟",
    "ur": "صبح بخیر، میں نے دو ہفتے پہلے ایک کیتلی منگوائی تھی اور وہ ابھی تک نہیں پہنچی۔ کیا آپ بتا سکتے ہیں کہ وہ کہاں ہے؟",
    "el": "Καλημέρα, παρήγγειλα έναν βραστήρα πριν από δύο εβδομάδες και δεν έχει φτάσει ακόμα. Μπορείτε να μου πείτε πού είναι;",
    "hy": "Բարի լույս, երկու շաբաթ առաջ թեյնիկ եմ պատվիրել, և այն դեռ չի հասել։",
    "ka": "დილა მშვიდობისა, ორი კვირის წინ ჩაიდანი შევუკვეთე და ჯერ არ მოსულა.",
    "th": "สวัสดีครับ ผมสั่งกาต้มน้ำเมื่อสองสัปดาห์ก่อนและยังไม่ได้รับ",
    "ko": "안녕하세요, 2주 전에 주전자를 주문했는데 아직 도착하지 않았습니다.",
    "ja": "おはようございます。二週間前にやかんを注文しましたが、まだ届いていません。",
    "zh": "早上好，我两周前订购了一个水壶，到现在还没有收到。请告诉我它在哪里。",
}
SIGNATURE = "\n\nBest regards,\nDan Green\nSenior Account Manager, Green Figs Ltd\nSent from my iPhone"
LINK = " https://shop.example/en/orders/track-your-parcel?order=100234 dan.green@customers.example"


@pytest.mark.parametrize("language", TOLD)
def test_a_letter_is_told_to_be_in_its_language(language: str) -> None:
    text = LONG[language]
    assert language_of(text) == language
    assert language_of(text.upper()) == language
    assert language_of(f"{LINK}\n{text}{LINK}") == language, "addresses are in no language"
    assert direction_of(text, language) == direction_of(text), "as its letters run"


@pytest.mark.parametrize("language", [language for language in TOLD if language != "en"])
def test_an_english_signature_below_makes_no_letter_english(language: str) -> None:
    assert language_of(LONG[language] * 2 + SIGNATURE) == language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        # in the four, as short as people are
        ("Hello, my order has not arrived yet", "en"),
        ("Where is my parcel?", "en"),
        ("Unde este coletul meu?", "ro"),
        ("buna ziua, unde este comanda mea", "ro"),
        ("החבילה לא הגיעה", "he"),
        ("תודה", "he"),
        ("شكرا لكم", "ar"),
        ("لم يصل الطرد", "ar"),
        # short in others
        ("Wo ist meine Bestellung?", "de"),
        ("Où est ma commande, s'il vous plaît ?", "fr"),
        ("Где моя посылка?", "ru"),
        ("Коли прийде моє замовлення?", "uk"),
        ("Πού είναι το δέμα μου;", "el"),
        ("سفارش من کجاست؟", "fa"),
        ("شکریہ", "ur"),
        ("میرا پارسل کہاں ہے؟", "ur"),
        ("감사합니다", "ko"),
        ("ありがとうございます", "ja"),
        ("包裹在哪里", "zh"),
        # Persian from an Arabic keyboard, an Arabic name with a letter that Arabic has not
        ("پيام شما را نگرفتم، لطفا دوباره بگوييد", "fa"),
        ("أريد إرجاع جهاز من شركة پاناسونيك إلى المتجر", "ar"),
        # two in one
        ("Order 123: החבילה לא הגיעה", "he"),
        ("הזמנתי Green Kettle K-200 ולא קיבלתי את החבילה", "he"),
        ("Please translate this one for me: תודה", "en"),
        ("Мой заказ Green Kettle K-200 так и не пришёл", "ru"),
        ("α and β are the two letters on the label of my kettle", "en"),
        ("דער פּאַק איז נאָך נישט אָנגעקומען", "he"),  # Yiddish: in Hebrew letters, and not told from it
        # nothing to tell by
        ("ok", "und"),
        ("Danke", "und"),
        ("да", "und"),
        ("你好", "und"),
        ("", "und"),
        ("12345 !!! https://example.org/a/long/english/path", "und"),
        ("😀😀😀 !!!", "und"),
        # languages that are not told are taken for none that is
        ("God morgen, jeg bestilte en vannkoker for to uker siden, og den har ennå ikke kommet frem. Hvor er den?", "und"),
        ("Dobrý den, před dvěma týdny jsem si objednal konvici a ještě nedorazila. Můžete mi říct, kde je?", "und"),
        ("سهار مو پخېر، ما دوه اوونۍ مخکې یو چایجوش غوښتی و او تر اوسه نه دی رارسېدلی", "und"),
        ("Chào buổi sáng, tôi đã đặt một ấm đun nước hai tuần trước và vẫn chưa nhận được", "und"),
    ],
)
def test_a_language_is_told_or_left_open(text: str, language: str) -> None:
    assert language_of(text) == language


@pytest.fixture
def _as_it_was() -> object:
    yield
    tell_apart(TOLD)


@pytest.mark.usefixtures("_as_it_was")
def test_what_is_in_a_language_that_is_not_asked_for_is_left_open_and_taken_for_no_other() -> None:
    tell_apart(("en", "ro", "he", "ar"))
    assert {language: language_of(text) for language, text in LONG.items()} == {
        language: language if language in ("en", "ro", "he", "ar") else "und" for language in LONG
    }
    tell_apart(("no", "cs"))
    assert language_of("God morgen, jeg bestilte en vannkoker for to uker siden, og den har ennå ikke kommet frem.") == "no"


def test_the_languages_are_a_setting_and_one_that_cannot_be_told_is_refused_by_name() -> None:
    assert IntakeSettings.model_validate({}).languages == TOLD
    assert IntakeSettings.model_validate({"intake_languages": "he, en"}).languages == ("he", "en")
    with pytest.raises(shared_settings.SettingsError, match=r"PATCHBAY_INTAKE_LANGUAGES: .*klingon cannot be told"):
        shared_settings.read(lambda: IntakeSettings.model_validate({"intake_languages": "he,klingon"}))


def test_there_is_a_text_of_each_language_that_is_told() -> None:
    assert set(LONG) == set(TOLD)
    assert set(TOLD) <= TELLABLE


def test_letters_are_counted_by_script_and_marks_of_order_are_none() -> None:
    assert letters("Ab, שלום ж 1\ufeff") == {"latin": 2, "hebrew": 4, "cyrillic": 1}
    assert letters("plain") == {"latin": 5}


def test_who_writes_in_a_language_that_we_do_not_speak_is_answered_in_the_one_they_are_known_by_else_in_the_inboxs() -> None:
    assert [spoken_to(*pair) for pair in (("de", "ro"), ("he", "ro"), ("de", "und"), ("de", "fr"), ("und", "he"))] == [
        "ro",
        "he",
        "de",
        "de",
        "he",
    ]
    assert [language_for(language, "he") for language in ("de", "fa", "und", "ru")] == ["he"] * 4
