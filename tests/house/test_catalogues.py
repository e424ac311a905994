"""Every catalogue has every sentence, all its plural forms, and the same values in them."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from gettext import GNUTranslations
from io import BytesIO

import pytest
from babel import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from services.intake.domain.speech import LANGUAGES, Language
from services.intake.speaking import LOCALES
from tests.house.sentences import said_in, sentences

NUMBERS = range(1000)
Break = Callable[[Catalog], object]


def read(language: Language) -> Catalog:
    with (LOCALES / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


def form_taken(catalogue: Catalog) -> list[int]:
    """Which form the catalogue takes for each of NUMBERS, as gettext reads its header."""
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    plural: Callable[[int], int] = GNUTranslations(compiled).plural  # type: ignore[attr-defined]
    return [plural(number) for number in NUMBERS]


def faults(language: Language, catalogue: Catalog) -> Iterator[str]:
    """What is wrong with a catalogue."""
    found = {message.id: message for message in catalogue if message.id}
    yield from (f"lacks {sentence}" for sentence in sentences() - found.keys())
    yield from (f"nobody says {sentence}" for sentence in found.keys() - sentences())
    rule = Locale.parse(language).plural_form
    taken = form_taken(catalogue)
    pairs = {(rule(number), index) for number, index in zip(NUMBERS, taken, strict=True)}
    categories, indices = {category for category, _ in pairs}, {index for _, index in pairs}
    if not len(pairs) == len(categories) == len(indices) == catalogue.num_plurals == len(rule.tags) + 1:
        yield "its plural forms are not those of CLDR"
    # A form that stands for a single number may say it in a word: יומיים, يومين.
    in_a_word = {index for index in set(taken) if taken.count(index) == 1}
    for message in found.values():
        yield from faults_of(message, catalogue.num_plurals, in_a_word)


def faults_of(message: Message, plurals: int, in_a_word: set[int]) -> Iterator[str]:
    said = message.string if isinstance(message.string, tuple | list) else (message.string or "",)
    forms = [str(form) for form in said]
    if message.fuzzy or not all(forms) or len(forms) != (plurals if message.pluralizable else 1):
        yield f"not said in all forms: {message.id}"
        return
    wanted = values(str(message.id[0] if isinstance(message.id, tuple) else message.id))
    for index, form in enumerate(forms):
        may_lack = {"n"} if message.pluralizable and index in in_a_word else set[str]()
        if not wanted - may_lack <= values(form) <= wanted:
            yield f"other values in {form}"


def values(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


def test_there_is_a_catalogue_for_each_language_and_no_other() -> None:
    assert {path.name for path in LOCALES.iterdir()} == {f"{language}.po" for language in LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_has_every_sentence_in_all_forms_with_the_same_values(language: Language) -> None:
    assert list(faults(language, read(language))) == []


DAYS = ("The link can be used for {n} day.", "The link can be used for {n} days.")
ANSWER = "Thank you. Your answer is {score}."


def _change(catalogue: Catalog, name: str | tuple[str, str], string: str | tuple[str, ...]) -> None:
    catalogue[name].string = string


BROKEN: dict[str, Break] = {
    "lacks": lambda catalogue: catalogue.delete("Send"),
    "nobody says": lambda catalogue: catalogue.add("Nobody says this", "אף אחד"),
    "not said in all forms": lambda catalogue: _change(catalogue, DAYS, ("אחד", "שניים", "")),
    "other values": lambda catalogue: _change(catalogue, DAYS, ("אחד", "שניים", "כמה")),
    "other values in": lambda catalogue: _change(catalogue, ANSWER, "תודה {answer}"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_wrong_with_a_catalogue_is_found(fault: str) -> None:
    catalogue = read("he")
    BROKEN[fault](catalogue)
    found = list(faults("he", catalogue))
    assert [one.startswith(fault) for one in found] == [True]


def test_a_header_that_knows_fewer_forms_is_found() -> None:
    with (LOCALES / "ro.po").open("rb") as file:
        text = file.read().replace(b"n == 1 ? 0 : n == 0", b"n == 1 ? 1 : n == 0")
    assert next(faults("ro", read_po(BytesIO(text), locale="ro"))) == "its plural forms are not those of CLDR"


@pytest.mark.parametrize("language", ["en", "ro"])
def test_what_goes_out_as_a_text_message_keeps_to_the_letters_that_cost_least(language: Language) -> None:
    """Of the GSM alphabet, which has all of ASCII's letters, and none of Hebrew's and Arabic's."""
    short = [m for m in read(language) if isinstance(m.id, str) and ("Reply with" in m.id or m.id == "We will answer by {time}.")]
    assert len(short) == 4
    assert all(str(message.string).isascii() for message in short)


@pytest.mark.parametrize(
    "source",
    ['speech.say(f"Hello {name}")', "speech.say(sentence)", 'speech.count(one, "many", 3)', "speech.shortly(texts[kind])"],
)
def test_a_sentence_that_cannot_be_found_is_not_allowed(source: str) -> None:
    with pytest.raises(ValueError):
        list(said_in(source))


def test_sentences_are_found_also_inside_of_others() -> None:
    source = (
        'x = f"<p>{escape(speech.say(\'One\'))}</p>"\nT = {1: phrase("Two")}\nspeech.count("{n} a", "{n} b", 3)\nraw.count("&")'
    )
    assert set(said_in(source)) == {"One", "Two", ("{n} a", "{n} b")}
