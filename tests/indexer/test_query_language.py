"""What people type, taken apart."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from indexer.errors import InvalidQuery
from indexer.query_language import MAX_WORDS, MAX_WORDS_TOGETHER, Query, Term, parse, parse_all, words_of
from model.charset import CHARSETS, Charset

LATIN, CHINESE = Charset(), Charset(CHARSETS["chinese-3755"])


def words(text: str) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    query = parse(text, LATIN)
    return [term.words for term in query.terms], [term.words for term in query.excluded]


@pytest.mark.parametrize(
    ("text", "terms", "excluded"),
    [
        ("coffee", [("coffee",)], []),
        ("  coffee \t shop ", [("coffee",), ("shop",)], []),
        ("coffee　shop", [("coffee",), ("shop",)], []),  # the space of Chinese typing
        ('"coffee shop" bar', [("coffee", "shop"), ("bar",)], []),
        ("“coffee shop”", [("coffee", "shop")], []),  # quotes of a phone
        ('"coffee shop', [("coffee", "shop")], []),  # still being typed
        ('coffee "', [("coffee",)], []),  # a lone quote
        ('coffee""shop"', [("coffeeshop",)], []),  # quotes within a word
        ("coffee -tea", [("coffee",)], [("tea",)]),
        ('coffee -"green tea"', [("coffee",)], [("green", "tea")]),
        ("coffee --tea", [("coffee",)], [("tea",)]),
        ("coffee - tea", [("coffee",), ("tea",)], []),  # a dash between words excludes nothing
        ("t-shirt", [("tshirt",)], []),
        ("coffee -", [("coffee",)], []),
        ('coffee -"', [("coffee",)], []),
        ("CAFÉ McDonald's 24/7", [("cafe",), ("mcdonalds",), ("247",)], []),
        ("cofee", [("cofee",)], []),
        ("coffee !!! ...", [("coffee",)], []),  # nothing to look for in those
        ("coffee кофе", [("coffee",)], []),  # nothing that the network knows
        ('"coffee ☕ shop"', [("coffee", "shop")], []),
        ("coffee\0shop", [("coffeeshop",)], []),
    ],
)
def test_words_phrases_and_what_is_excluded(
    text: str, terms: list[tuple[str, ...]], excluded: list[tuple[str, ...]]
) -> None:
    assert words(text) == (terms, excluded)


@pytest.mark.parametrize(
    ("text", "ignored"),
    [
        ("CAFÉ McDonald's 24/7 “x”", ()),  # punctuation and accents are documented
        ("coffee кофе", ("к", "о", "ф", "е")),
        ("coffee☕☕ 5€", ("☕", "€")),  # each once
        ("e\u0301", ()),  # an accent typed as a character of its own
        ("a👨‍👩‍👧", ("👨", "👩", "👧")),  # joined by invisible characters
    ],
)
def test_characters_that_the_network_does_not_know_are_named(text: str, ignored: tuple[str, ...]) -> None:
    assert parse(text, LATIN).ignored == ignored


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "letter or a digit of 0123456789abc"),
        ("   ", "letter or a digit"),
        ("-", "letter or a digit"),
        ('"', "letter or a digit"),
        ('-"" "" -', "letter or a digit"),
        ("!?", "letter or a digit"),
        ("кофе", "letter or a digit of 0123456789abc"),
        ("😀", "letter or a digit"),
        ("\0", "letter or a digit"),
        ("-tea", "beside those to leave out"),
        ('-"green tea"', "beside those to leave out"),
        ("a " * (MAX_WORDS + 1), "16 words at most"),
        ("a -" + "b " * MAX_WORDS, "16 words at most"),
        ('"' + "a " * 50, "16 words at most"),
        ("a" * 201, "200 letters at most"),
        ("a -" + "㎯" * 40, "200 letters at most"),
    ],
)
def test_what_cannot_be_searched_for_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidQuery, match=reason):
        parse(text, LATIN)


def test_chinese_is_one_word_between_spaces() -> None:
    query = parse("星巴克咖啡 ＣＡＦＥ -茶", CHINESE)
    assert query.words == ["星巴克咖啡", "cafe"]
    assert query.excluded == (Term(("茶",)),)
    assert parse("咖啡館", CHINESE).ignored == ("館",)  # a traditional form
    with pytest.raises(InvalidQuery, match=r"and 3755 more such as .*, or of their capitals") as refused:
        parse("кофе", CHINESE)
    assert len(str(refused.value)) < 200


@given(st.text() | st.text(alphabet='ab -"“”é☕\0\n', max_size=60))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        query = parse(text, LATIN)
    except InvalidQuery:
        return
    assert isinstance(query, Query)
    for term in (*query.terms, *query.excluded):
        assert term.words
        assert all(LATIN.fold(word) for word in term.words)
    assert not any(LATIN.fold(character) for character in query.ignored)


def test_words_of_a_photo_are_those_read_once_each_the_surest_first() -> None:
    read = ["Café", "coffee shop", "!?", "", "SHOP", "cafe", "кофе", *(f"w{n}" for n in range(30))]
    words = words_of(read, LATIN)
    assert list(words.items())[:3] == [("cafe", 0), ("shop", 4), ("w0", 7)]
    assert len(words) == MAX_WORDS


@pytest.mark.parametrize("read", [[], ["", "?!"], ["coffee shop"]])
def test_photo_without_words_is_refused(read: list[str]) -> None:
    with pytest.raises(InvalidQuery, match="no text was found"):
        words_of(read, LATIN)


def test_many_queries_have_a_limit_together() -> None:
    whole, rest = divmod(MAX_WORDS_TOGETHER, MAX_WORDS)
    texts = [*whole * ['"' + "a " * (MAX_WORDS - 1) + '" -b'], "a " * rest]
    assert len(parse_all(texts, LATIN)) == whole + 1
    with pytest.raises(InvalidQuery, match="100 words together"):
        parse_all([*texts, "a"], LATIN)


def test_the_bad_one_of_many_queries_is_named() -> None:
    with pytest.raises(InvalidQuery, match=r"^queries number 2: a query needs"):
        parse_all(["a", "!"], LATIN)
    with pytest.raises(InvalidQuery, match=r"^a query needs"):
        parse_all(["!"], LATIN)
