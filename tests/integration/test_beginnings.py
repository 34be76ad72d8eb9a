import numpy as np
import pytest

from indexer.beginnings import LONGEST, beginnings, found_by_all, texts_of
from indexer.database import session_scope
from indexer.query_language import Query, parse
from model.charset import Charset
from tests.integration.conftest import Gallery


def query(text: str) -> Query:
    return parse(text, Charset())


def test_a_query_begins_letter_by_letter_and_word_by_word() -> None:
    assert [shorter.text for shorter in beginnings(query("Tea to"))] == ["t", "te", "tea", "tea t"]
    assert texts_of(query("tea to")) == ["t", "te", "tea"]
    assert beginnings(query("a")) == []


@pytest.mark.parametrize("text", ['"tea to"', "tea -to", "a" * (LONGEST + 1), "ab " + "㎯" * 13])
def test_what_is_no_plain_word_has_no_beginnings(text: str) -> None:
    assert beginnings(query(text)) == []


def test_photos_must_be_found_by_all_beginnings_unless_the_whole_was_read(gallery: Gallery) -> None:
    gallery.add("coffees")
    gallery.add("zzfees")
    gallery.index_all()
    served = gallery.follower().served()
    asked, found = query("coffees"), np.array([1, 2])
    words = texts_of(asked)
    embeddings = dict(zip(words, gallery.encoder.encode_texts(words), strict=True))
    for read, kept in (([1], [1]), ([], [1]), ([2], [1, 2])):
        with session_scope(gallery.engine) as session:
            ids = found_by_all(session, served, asked, embeddings, found, [np.array(read, np.int64)])
        assert ids.tolist() == kept
    with session_scope(gallery.engine) as session:  # by picture: words have no beginnings
        assert found_by_all(session, served, asked, {}, found, [np.array([1])]).tolist() == [1, 2]
