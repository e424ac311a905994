"""What customers write and agents answer, in four languages: short, as people do, digits and Latin words among right-to-left.

`{n}` is a number of the conversation's own (an order, an invoice), so that no two customers write the same.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wording:
    """One language. `names` are (as shown, for an address); `openings` are (subject, text); `quote` stands above a quotation."""

    names: tuple[tuple[str, str], ...]
    openings: tuple[tuple[str, str], ...]
    follow_ups: tuple[str, ...]
    answers: tuple[str, ...]
    quote: str


WORDINGS: dict[str, Wording] = {
    "he": Wording(
        names=(("נועה לוי", "noa"), ("איתי כהן", "itay"), ("תמר פרץ", "tamar"), ("יוסי מזרחי", "yossi"), ("שירה ביטון", "shira")),
        openings=(
            ("ההזמנה {n} לא הגיעה", "שלום,\nהזמנתי לפני שבועיים והחבילה עדיין לא הגיעה. מספר ההזמנה {n}. תוכלו לבדוק?\nתודה"),
            ("חיוב כפול בחשבונית {n}", "היי, חויבתי פעמיים על חשבונית {n} (סה״כ ‎249.90 ₪). אשמח לזיכוי בהקדם."),
            ("לא מצליח להיכנס לחשבון {n}", "שלום, ניסיתי לאפס סיסמה לחשבון {n} והמייל לא מגיע. מה עושים?"),
            ("החלפת מידה להזמנה {n}", "קיבלתי מידה 42 במקום 40 בהזמנה {n}. איך מחליפים? 🙏"),
            ("אחריות על מוצר {n}", "המכשיר (דגם X-{n}) הפסיק להיטען אחרי חודש. האם זה מכוסה באחריות?"),
            ("ביטול עסקה {n}", "אני מבקש לבטל את העסקה {n} שנעשתה אתמול ב-18:30. נא לאשר בכתב."),
        ),
        follow_ups=(
            "עדיין לא קיבלתי תשובה, אפשר לבדוק שוב?",
            "שכחתי לציין: הטלפון שלי הוא 050-0000000, עדיף אחרי 17:00.",
            "תודה רבה! עוד שאלה קטנה, מתי זה יגיע?",
            "ניסיתי מה שכתבתם וזה לא עזר. מופיעה שגיאה E-104.",
        ),
        answers=(
            "שלום, בדקנו את הפנייה והטיפול הושלם. נשמח לעזור שוב.",
            "תודה שפנית אלינו. החבילה תגיע מחר עד 14:00.",
            "הזיכוי אושר ויופיע בחשבון תוך 3 ימי עסקים.",
        ),
        quote="הודעה קודמת:",
    ),
    "ar": Wording(
        names=(
            ("ليلى حداد", "layla"),
            ("أحمد منصور", "ahmad"),
            ("سارة خليل", "sara"),
            ("عمر ناصر", "omar"),
            ("هدى صالح", "huda"),
        ),
        openings=(
            ("الطلب {n} لم يصل", "مرحبا،\nطلبت قبل أسبوعين ولم تصل الشحنة بعد. رقم الطلب {n}. أرجو المتابعة.\nشكرا"),
            ("خطأ في الفاتورة {n}", "وصلتني الفاتورة {n} بمبلغ مختلف عما دفعته (٢٤٩٫٩٠). أرجو مراجعتها وإرسال نسخة صحيحة."),
            ("لا أستطيع الدخول إلى الحساب {n}", "السلام عليكم، أحاول تغيير كلمة المرور للحساب {n} ولا يصلني الرمز. ما الحل؟"),
            ("استبدال المقاس في الطلب {n}", "استلمت مقاس L بدلا من M في الطلب {n}. كيف أستبدله؟ 🙏"),
            ("ضمان المنتج {n}", "الجهاز طراز X-{n} توقف عن الشحن بعد شهر. هل يشمله الضمان؟"),
            ("إلغاء الاشتراك {n}", "أرغب في إلغاء الاشتراك {n} ابتداء من الشهر القادم. أرجو التأكيد كتابيا."),
        ),
        follow_ups=(
            "لم يصلني أي رد حتى الآن، هل يمكنكم التحقق مرة أخرى؟",
            "نسيت أن أذكر أن العنوان تغير، الشارع الآن هو شارع النيل 12.",
            "شكرا جزيلا! سؤال أخير، متى يصل المندوب؟",
            "جربت ما كتبتم ولم ينجح، تظهر الرسالة E-104.",
        ),
        answers=(
            "مرحبا، راجعنا طلبك وتمت معالجته. يسعدنا خدمتك دائما.",
            "شكرا لتواصلك. ستصل الشحنة غدا قبل الساعة 14:00.",
            "تمت الموافقة على استرداد المبلغ خلال 3 أيام عمل.",
        ),
        quote="الرسالة السابقة:",
    ),
    "ro": Wording(
        names=(
            ("Ioana Popescu", "ioana"),
            ("Mihai Țurcanu", "mihai"),
            ("Ștefania Dumitru", "stefania"),
            ("Răzvan Ionescu", "razvan"),
            ("Anca Brâncoveanu", "anca"),
        ),
        openings=(
            (
                "Comanda {n} nu a ajuns",
                "Bună ziua,\nAm comandat acum două săptămâni și coletul {n} nu a ajuns. Puteți verifica?\nMulțumesc",
            ),
            (
                "Factura {n} este greșită",
                "Bună, pe factura {n} apare o sumă de 249,90 lei în loc de 149,90. Vă rog să o corectați.",
            ),
            ("Nu pot intra în contul {n}", "Nu mai pot intra în contul {n} de ieri, deși parola este corectă. Ce pot face?"),
            ("Schimb de mărime la comanda {n}", "Am primit mărimea 42 în loc de 40 la comanda {n}. Cum o pot schimba? 🙏"),
            ("Garanția produsului {n}", "Aparatul X-{n} nu se mai încarcă după o lună. Este acoperit de garanție?"),
            (
                "Renunț la abonamentul {n}",
                "Doresc să renunț la abonamentul {n} începând cu luna viitoare. Vă rog să îmi confirmați în scris.",
            ),
        ),
        follow_ups=(
            "Nu am primit încă niciun răspuns, puteți verifica din nou?",
            "Am uitat să spun: sunt acasă doar după ora 17:00.",
            "Mulțumesc mult! Încă o întrebare: când ajunge curierul?",
            "Am încercat ce mi-ați scris și tot nu merge, apare eroarea E-104.",
        ),
        answers=(
            "Bună ziua, am verificat solicitarea și am rezolvat-o. Vă stăm la dispoziție.",
            "Vă mulțumim. Coletul ajunge mâine până la ora 14:00.",
            "Rambursarea a fost aprobată și apare în cont în 3 zile lucrătoare.",
        ),
        quote="Mesajul anterior:",
    ),
    "en": Wording(
        names=(
            ("Grace Miller", "grace"),
            ("Tom O’Brien", "tom"),
            ("Aisha Khan", "aisha"),
            ("Jan Novák", "jan"),
            ("Zoë Clarke", "zoe"),
        ),
        openings=(
            (
                "Order {n} has not arrived",
                "Hello,\nI ordered two weeks ago and parcel {n} is still not here. Could you look into it?\nThanks",
            ),
            (
                "Invoice {n} charged twice",
                "Hi, my card was charged twice for invoice {n} (2 × €49.90). Please refund one of them.",
            ),
            ("Cannot sign in to account {n}", "I cannot reset the password of account {n}: the mail with the code never comes."),
            ("Wrong size in order {n}", "I got size L instead of M in order {n}. How can I exchange it? 🙏"),
            ("Warranty for unit {n}", "My X-{n} stopped charging after a month. Is that covered by the warranty?"),
            ("Cancel subscription {n}", "Please cancel subscription {n} from next month on, and confirm it in writing."),
        ),
        follow_ups=(
            "I have not had an answer yet, could you check again?",
            "I forgot to say: I am only at home after 5 pm.",
            "Thank you! One more question: when will the courier come?",
            "I tried what you wrote and it did not help; it says error E-104.",
        ),
        answers=(
            "Hello, we have looked into it and it is done. Do write again if anything is left.",
            "Thank you for your message. The parcel arrives tomorrow before 14:00.",
            "The refund is approved and shows on your account within 3 working days.",
        ),
        quote="Earlier message:",
    ),
}
LANGUAGES = tuple(WORDINGS)
