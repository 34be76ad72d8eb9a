import pytest

from model.charset import CHARSETS, CHINESE, LATIN, Charset, UnknownCharactersError, is_dense


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Google", "google"),  # case
        ("CAFÉ", "cafe"),  # accents
        ("McDonald's", "mcdonalds"),  # punctuation
        ("24/7", "247"),  # digits
        ("straße", "strasse"),  # casefold spells out
        ("ﬁsh №5", "fishno5"),  # compatibility forms
        ("", ""),  # nothing
        ("日本", ""),  # another script
    ],
)
def test_fold_keeps_what_can_be_searched(text: str, folded: str) -> None:
    assert Charset().fold(text) == folded


def test_encode_numbers_characters_from_one() -> None:
    assert Charset().encode("0aZ") == [1, 11, 36]


@pytest.mark.parametrize("word", ["", "!?", "日本", "\0"])
def test_encode_refuses_words_without_known_characters(word: str) -> None:
    with pytest.raises(UnknownCharactersError, match="none of the characters"):
        Charset().encode(word)


def test_another_charset_is_data() -> None:
    assert Charset("日本").encode("日x本") == [1, 2]


@pytest.mark.parametrize(("name", "size"), [("latin", 36), ("chinese-1019", 1055), ("chinese-3755", 3791)])
def test_charsets_have_the_papers_sizes_beside_latin(name: str, size: int) -> None:
    characters = CHARSETS[name]
    assert len(set(characters)) == len(characters) == size
    assert characters.startswith(LATIN)
    assert Charset(characters).fold(characters) == characters  # all can be searched for


def test_chinese_is_the_first_level_of_the_national_standard() -> None:
    assert all("\u4e00" <= character <= "\u9fff" for character in CHINESE)
    assert all(0xB0 <= character.encode("gb2312")[0] <= 0xD7 for character in CHINESE)
    assert CHINESE.index("的") < CHINESE.index("咖") < CHINESE.index("硷")  # by frequency


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("星巴克 咖啡", "星巴克咖啡"),  # spaces
        ("ＡＢ咖啡１２", "ab咖啡12"),  # full width
        ("\uf9dc咖啡", "隆咖啡"),  # compatibility forms
        ("「大学」・", "大学"),  # punctuation
        ("咖啡館", "咖啡"),  # traditional forms are other characters
    ],
)
def test_fold_keeps_chinese_where_it_is_known(text: str, folded: str) -> None:
    assert Charset(CHARSETS["chinese-3755"]).fold(text) == folded


def test_a_large_charset_is_named_in_a_few_words() -> None:
    assert Charset().listed() == LATIN
    named = Charset(CHARSETS["chinese-3755"]).listed()
    assert named.startswith(f"{LATIN} and 3755 more such as ")
    assert len(named) < 100


@pytest.mark.parametrize(("text", "dense"), [("咖啡", True), ("か", True), ("a啡", False), ("кофе", False)])
def test_is_dense(text: str, dense: bool) -> None:
    assert is_dense(text) is dense
