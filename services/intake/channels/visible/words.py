"""What mail programs and people write around a reply, by language. Data only; folded where it is looked up.

Collected from what the programs send. A word that is missing costs a reply its fold, never its text.
"""

from __future__ import annotations

# Names of header lines, as Outlook, Zimbra, Samsung, GMX, Orange and others put them above what they quote.
FROM = (
    "from|מאת|من|de la|expeditor|von|absender|de|expéditeur|remitente|da|mittente|remetente|van|afzender|od|nadawca|от|"
    "от кого|від|від кого|kimden|gönderen|från|avsändare|fra|avsender|lähettäjä|feladó|odesílatel|از|από|"
    "差出人|发件人|寄件者|보낸 사람"
)
DATE = (
    "sent|date|sent on|נשלח|תאריך|נשלח בתאריך|تم الإرسال|تاريخ الإرسال|أرسلت|التاريخ|تاريخ|أُرسل|المرسل|trimis|data|dată|"
    "trimisă|gesendet|gesendet am|datum|envoyé|envoyé le|date d'envoi|enviado|enviado el|enviados|enviado em|enviada em|"
    "enviada|fecha|inviato|inviati|verzonden|wysłano|wysłane|data wysłania|отправлено|дата|надіслано|gönderildi|gönderilme|"
    "gönderme tarihi|gönderim|tarih|gönderilme tarihi|skickat|sendt|dato|lähetetty|päiväys|pvm|elküldve|dátum|küldés ideje|"
    "odesláno|αποστολή|ημερομηνία|ημ/νία|送信日時|日付|日時|发送时间|發送時間|日期|보낸 날짜|날짜"
)
TO = (
    "to|אל|נמען|إلى|الى|către|catre|an|empfänger|à|a|destinataire|para|destinatario|destinatário|aan|do|adresat|кому|kime|"
    "alıcı|till|til|vastaanottaja|címzett|komu|προς|宛先|收件人|받는 사람"
)
COPY = (
    "cc|bcc|copy to|העתק|עותק|לידיעה|نسخة|نسخة إلى|kopie|cópia|copie|copia|kopia|kopi|dw|udw|копия|копія|bilgi|"
    "másolatot kap|kopio|κοιν|抄送|參照|参照|참조|reply-to|reply to|importance|priority|wichtigkeit|importancia|attachments|"
    "anlagen|vertraulichkeit"
)
SUBJECT = (
    "subject|נושא|הנדון|الموضوع|موضوع|subiect|subiectul|betreff|objet|sujet|asunto|oggetto|assunto|onderwerp|temat|тема|"
    "konu|ämne|emne|aihe|tárgy|předmět|θέμα|件名|主题|主旨|제목"
)

# Verbs of the line above a quotation.
WROTE = (
    "wrote|writes|said|כתב|כתבה|כתב/ה|כתב(ה)|כתבו|كتب|كتبت|كتب/كتبت|كتبه|كتابة|a scris|a scris(ă)|scrie|schrieb|schrieb am|"
    "geschrieben|schrieben|a écrit|a ecrit|écrit|écrivait|écrivit|escribió|escribio|escribe|ha scritto|scrive|scritto|"
    "escreveu|escreve|schreef|geschreven|napisał|napisała|napisał(a)|napisał/a|napisała/napisał|napisana|pisze|написал|"
    "написала|написал(а)|писал|писал(а)|пишет|написав|написала|написав(ла)|написав(-ла)|написав/ла|пише|писав|yazdı|yazmış|"
    "skrev|skreiv|skriver|kirjoitti|írta|ezt írta|napsal|napsal(a)|napsala|napísal|napísal(a)|έγραψε|написа|"
    "が書きました|のメール|写道|"
    "寫道|님이 작성|za napisal|je napisal|napisao|napisao je|napisala je|je napisao|rašė|kirjutas|rakstīja|viết|เขียน|menulis|"
    "va escriure|skrifaði|idatzi du|escribiu|נכתב|מאת|بواسطة|"
    "quoting|zitat von|citando|mensaje citado por"
)
# Words that such a line begins with.
ON = (
    "on|at|בתאריך|ביום|ב|في|بتاريخ|يوم|pe|în|la|data|am|le|el|il|il giorno|em|no dia|op|w dniu|dnia|в|у|от|від|den|d.|på|"
    "dne|dňa|στις|kl|a|az|tarihinde|vào|em|quoting|zitat von|citando|il|из"
)
# Lines of dashes name it so, where a whole message stands below.
ORIGINAL = (
    "original message|original email|original e-mail|original appointment|reply message|הודעה מקורית|ההודעה המקורית|"
    "رسالة أصلية|الرسالة الأصلية|mesaj original|mesajul original|mesaj inițial|ursprüngliche nachricht|"
    "ursprüngliche e-mail|original-nachricht|originalnachricht|message d'origine|message original|message d’origine|"
    "mensaje original|correo original|messaggio originale|messaggio orig.|mensagem original|oorspronkelijk bericht|"
    "origineel bericht|oryginalna wiadomość|wiadomość oryginalna|исходное сообщение|оригинальное сообщение|"
    "оригінальне повідомлення|початкове повідомлення|вихідне повідомлення|orijinal mesaj|özgün ileti|orijinal ileti|"
    "originalmeddelande|ursprungligt meddelande|oprindelig meddelelse|opprinnelig melding|alkuperäinen viesti|"
    "eredeti üzenet|původní zpráva|pôvodná správa|αρχικό μήνυμα|元のメッセージ|原始邮件|原始郵件|원본 메시지"
)
FORWARDED = (
    "forwarded message|forwarded by|forwarded email|forwarded mail|begin forwarded message|start of forwarded message|"
    "הודעה שהועברה|הודעה מועברת|תחילת הודעה שהועברה|رسالة معاد توجيهها|رسالة مُعاد توجيهها|رسالة محولة|mesaj redirecționat|"
    "mesaj redirectionat|început mesaj redirecționat|începe mesajul redirecționat|weitergeleitete nachricht|"
    "weitergeleitete mail|anfang der weitergeleiteten nachricht|anfang der weitergeleiteten e-mail|message transféré|"
    "message réexpédié|début du message transféré|début du message réexpédié|mensaje reenviado|"
    "inicio del mensaje reenviado|messaggio inoltrato|inizio messaggio inoltrato|mensagem encaminhada|"
    "mensagem reencaminhada|início da mensagem encaminhada|início da mensagem reencaminhada|doorgestuurd bericht|"
    "begin doorgestuurd bericht|przekazana wiadomość|wiadomość przekazana|początek przekazywanej wiadomości|"
    "пересылаемое сообщение|пересланное сообщение|начало переадресованного сообщения|начало пересылаемого сообщения|"
    "переслане повідомлення|початок листа, що пересилається|iletilen mesaj|iletilmiş mesaj|yönlendirilmiş ileti|"
    "iletilmiş mesajın başlangıcı|iletilen e-posta|vidarebefordrat meddelande|vidarebefordrat mail|"
    "börjar vidarebefordrat meddelande|videresendt meddelelse|videresendt melding|edelleenlähetetty viesti|"
    "välitetty viesti|továbbított üzenet|přeposlaná zpráva|转发的邮件|转发邮件|転送メッセージ|転送されたメッセージ"
)
# The line that help desks put above what they send, so that an answer can be cut there.
ANSWER_ABOVE = (
    "type your reply above this line|reply above this line|reply above the line|write above this line|respond above this line|"
    "ihre antwort über dieser zeile|antworten sie über dieser zeile|oberhalb dieser zeile|réponse au-dessus de cette ligne|"
    "répondre au-dessus de cette ligne|respuesta por encima de esta línea|responda por encima de esta línea|"
    "respuesta sobre esta línea|risposta sopra questa riga|rispondi sopra questa riga|risposta al di sopra di questa riga|"
    "resposta acima desta linha|responda acima desta linha|antwoord boven deze regel|antwoord boven deze lijn|"
    "odpowiedź powyżej tej linii|odpowiedź nad tą linią|ответ над этой строкой|ответ выше этой строки|"
    "ответ выше этой линии|відповідь над цим рядком|відповідь вище цього рядка|yanıtınızı bu satırın üzerine|"
    "cevabınızı bu satırın üstüne|svar ovanför denna rad|svar ovanför den här raden|svar ovanför denna linje|"
    "răspunsul deasupra acestei linii|răspundeți deasupra acestei linii|מעל שורה זו|מעל לשורה זו|מעל הקו הזה|"
    "فوق هذا السطر|فوق هذا الخط"
)

# Lines that telephones and programs add below a reply begin or end so.
SENT_FROM = (
    "sent from|sent via|sent with|sent using|sent by|sent on the go|typed on|written on my|from my iphone|from my ipad|"
    "from my android|נשלח מ|נשלח באמצעות|נשלח דרך|נשלח מה|أرسلت من|أُرسلت من|أرسل من|مرسل من|مُرسل من|تم الإرسال من|"
    "تم إرساله من|أرسلت بواسطة|trimis de pe|trimis din|trimis prin|trimis cu|expediat de pe|gesendet von|gesendet mit|"
    "gesendet über|von meinem|von unterwegs|diese nachricht wurde von meinem|envoyé de|envoyé depuis|envoyé à partir|"
    "envoyé avec|envoyé via|enviado desde|enviado con|enviado do|enviado de|enviado a partir|enviado através|enviado pelo|"
    "enviado por|enviado via|enviado mediante|inviato da|inviato dal|inviato con|inviato tramite|verstuurd vanaf|"
    "verzonden vanaf|verstuurd met|verzonden met|verstuurd via|verzonden via|verzonden vanuit|wysłane z|wysłano z|"
    "wysłane za|wiadomość wysłana z|wysłana z|отправлено с|отправлено из|отправлено со|отправлено через|отправлено при|"
    "отправлено от|с уважением, отправлено|надіслано з|надіслано із|надіслано через|відправлено з|відправлено із|"
    "skickat från|skickat med|skickades från|sendt fra|sendt med|lähetetty|odesláno z|odoslané z|elküldve|küldve|απεστάλη|"
    "στάλθηκε από|iphoneから送信|ipadから送信|发自我的|從我的|나의 iphone에서 보냄"
)
SENT_AT_END = "gönderildi|gönderilmiştir|beziehen|から送信|에서 보냄|gesendet|verschickt|verfasst|downloaden|lähetetty"
DEVICES = (
    "iphone|ipad|android|samsung|galaxy|huawei|xiaomi|redmi|nokia|blackberry|outlook|windows|yahoo|gmail|proton|gmx|web.de|"
    "mobile|phone|smartphone|smartfon|mail|app|spark|superhuman|tablet|ios|mobil|telefon|téléphone|teléfono|cellulare|"
    "celular|telemóvel|telemovel|handy|mobiltelefon|smartfonu|телефон|смартфон|мобиль|мобіль|טלפון|סמארטפון|נייד|هاتف|جوال|"
    "الـ|cihaz|oneplus|pixel|motorola|honor|oppo|canary|front|thunderbird|hey|fastmail|tutanota|newton|airmail|почт|пошт|"
    "bluemail|nine|edison|mailbird|zoho"
)

# Words that end a letter, before the name.
FAREWELLS = (
    "regards|best regards|kind regards|warm regards|best|best wishes|all the best|cheers|thanks|many thanks|thank you|"
    "thanks again|thanks & regards|thanks and regards|sincerely|yours sincerely|yours faithfully|yours truly|respectfully|"
    "br|rgds|בברכה|בכבוד רב|תודה|תודה רבה|בתודה|תודה מראש|مع التحية|مع أطيب التحيات|تحياتي|شكرا|شكراً|مع خالص التحية|"
    "وتفضلوا بقبول فائق الاحترام|cu stimă|cu respect|o zi bună|mulțumesc|toate cele bune|numai bine|"
    "mit freundlichen grüßen|mit freundlichen grüssen|viele grüße|freundliche grüße|beste grüße|liebe grüße|"
    "herzliche grüße|lg|mfg|vg|gruß|grüße|danke|vielen dank|cordialement|bien cordialement|bien à vous|salutations|"
    "sincères salutations|merci|merci d'avance|amicalement|saludos|un saludo|saludos cordiales|atentamente|cordialmente|"
    "gracias|muchas gracias|cordiali saluti|distinti saluti|saluti|grazie|un saluto|a presto|atenciosamente|atentamente|"
    "cumprimentos|com os melhores cumprimentos|melhores cumprimentos|obrigado|obrigada|abraço|abraços|abs|"
    "met vriendelijke groet|met vriendelijke groeten|mvg|groet|groeten|vriendelijke groet|bedankt|hartelijk dank|"
    "pozdrawiam|z poważaniem|z wyrazami szacunku|dziękuję|serdecznie pozdrawiam|с уважением|с наилучшими пожеланиями|"
    "спасибо|всего доброго|с уважением и наилучшими пожеланиями|з повагою|дякую|з найкращими побажаннями|гарного дня|"
    "saygılarımla|saygılar|teşekkürler|teşekkür ederim|iyi çalışmalar|sevgiler|iyi günler|med vänlig hälsning|"
    "med vänliga hälsningar|vänliga hälsningar|mvh|hälsningar|tack|tack på förhand|med venlig hilsen|venlig hilsen|hilsen|"
    "med vennlig hilsen|vh|terveisin|ystävällisin terveisin|s pozdravem|üdvözlettel"
)

# A paragraph that touches three of these five is no letter but a lawyer's.
CONFIDENTIAL = (
    "confiden|privileg|proprietary|סודי|חסוי|סרי|سري|خاصة|vertraulich|riservat|vertrouwelijk|poufn|конфиденц|конфіденц|"
    "gizli|konfidenti|fortrolig|luottamukselli|důvěrn|bizalmas"
)
ADDRESSED = (
    "intended|addressee|recipient|נמען|מיועד|للمرسل إليه|المرسل إليه|مخصص|destinat|adresat|empfänger|adressat|bestimmt|"
    "dirigid|geadresseerde|bestemd|przeznaczon|адресат|предназнач|призначен|одержувач|alıcı|mottagar|avsed|modtager|címzett"
)
BY_MISTAKE = (
    "in error|by mistake|mistakenly|בטעות|بالخطأ|بطريق الخطأ|خطأ|din greșeală|din eroare|irrtümlich|versehentlich|"
    "par erreur|por error|por erro|por engano|per errore|ten onrechte|per abuis|abusievelijk|omyłkow|pomyłk|"
    "przez przypadek|по ошибке|ошибочно|помилково|yanlışlıkla|av misstag|misstag|ved en feil|ved en fejl|"
    "nicht der richtige|not the intended|niet de geadresseerde"
)
DESTROY = (
    "delete|destroy|prohibit|unlawful|notify|forbidden|למחוק|מחק|להודיע|אסור|حذف|إبلاغ|يحظر|ștergeți|distrugeți|interzis|"
    "vernichte|lösch|untersagt|détruire|supprim|interdit|borr|elimin|elimín|prohib|destru|apag|cancell|distrug|vieta|"
    "verwijder|vernietig|verboden|usun|zniszcz|zabron|удал|уничтож|запрещ|видал|знищ|заборон|silin|siliniz|imha|yasak|"
    "radera|förstör|förbjud|slet"
)
THIS_MAIL = (
    "e-mail|email|message|communication|transmission|attachment|הודעה|דוא|מייל|الرسالة|البريد|mesaj|nachricht|mail|"
    "courriel|mensaje|correo|messaggio|mensagem|bericht|wiadomość|wiadomości|сообщени|письм|повідомленн|лист|e-posta|ileti|"
    "meddelande|melding|meddelelse"
)
# What mailing lists and ticket systems append.
FOOTERS = (
    "mailing list|listinfo|to unsubscribe|unsubscribe from this|you received this message because you are subscribed|"
    "you are receiving this because|reply to this email directly|view it on github|visit this group at|"
    "for more options, visit|to stop receiving emails from it|this email has been checked for viruses|scanned for viruses|"
    "virus-free|virenfrei|www.avast.com|avast.com|avg.com|sans virus|libre de virus|livre de vírus|privo di virus|"
    "virusvrij|wolna od wirusów|без вирусов|please consider the environment|think before you print|"
    "bitte denken sie an die umwelt|pensez à l'environnement|piense en el medio ambiente|pensa all'ambiente"
)
# What mail servers put above what comes from outside.
WARNINGS = (
    "originated from outside|originates from outside|came from outside|comes from outside|from an external|external email|"
    "external sender|external e-mail|external message|from outside of|outside the organization|outside your organization|"
    "externe e-mail|von außerhalb|außerhalb der organisation|außerhalb ihrer organisation|von ausserhalb|extern gesendet|"
    "de l'extérieur|extérieure à votre organisation|expéditeur externe|externo a la organización|fuera de la organización|"
    "remitente externo|mittente esterno|dall'esterno|fuori dall'organizzazione|remetente externo|fora da organização|"
    "externe afzender|buiten de organisatie|buiten uw organisatie|z zewnątrz|spoza organizacji|spoza firmy|"
    "внешний отправитель|внешнего отправителя|за пределами организации|зовнішній відправник|за межами організації|"
    "מחוץ לארגון|מקור חיצוני|שולח חיצוני|خارج المؤسسة|خارج المنظمة|مصدر خارجي|مرسل خارجي|din afara organizației|"
    "expeditor extern|kurum dışından|kuruluş dışından|utifrån organisationen|utanför organisationen|extern avsändare|"
    "don't often get email from|do not often get email from"
)


def words(listed: str) -> tuple[str, ...]:
    """The entries of a list, folded."""
    return tuple(dict.fromkeys(fold(word) for word in listed.split("|")))


def fold(text: str) -> str:
    """Casefolded; the Turkish capital İ is an i, and not one with a dot above it."""
    folded = text.casefold()
    return folded if text.isascii() else folded.replace("i\u0307", "i")
