"""Keeps the suggested cut consistent while people type: what a longer query finds, a shorter one finds too.

Similarity alone does not: a sign that is misread as `cofees` may reach the cut for `coffees` and miss it for
`coff`. So a photo has to be found by every beginning of the query too, letter by letter and word by word.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np
from sqlalchemy.orm import Session

from indexer import ranking, transcripts
from indexer.follower import Served
from indexer.query_language import Query, Term
from indexer.ranking import Embeddings, Scores
from indexer.segment import Ids
from model import calibration

LONGEST = 64  # letters of a query whose beginnings count: nobody types more at a time


def beginnings(query: Query) -> list[Query]:
    """Return the shorter queries with which one of plain words begins; none for a long one or any other."""
    words = query.words
    if query.excluded or len(words) > len(query.terms) or sum(map(len, words)) > LONGEST:
        return []
    shorter = [
        (*words[:place], word[: end + 1]) for place, word in enumerate(words) for end in range(len(word))
    ]
    return [Query(" ".join(each), tuple(Term((word,)) for word in each), (), ()) for each in shorter[:-1]]


def texts_of(query: Query) -> list[str]:
    """Return the words that have to be embedded for `found_by_all`."""
    return list(dict.fromkeys(word for shorter in beginnings(query) for word in shorter.words))


def found_by_all(
    session: Session, served: Served, query: Query, embeddings: Embeddings, found: Ids, read: Sequence[Ids]
) -> Ids:
    """Return which photos reach the suggested score for every beginning of a query.

    Args:
        session: Of the database.
        served: The index.
        query: The whole one.
        embeddings: Of `texts_of` the query, (D,) each; without them, as in a search by picture, all count.
        found: The photos that the whole query finds, ascending.
        read: For each of its terms the photos in which it was read: where all were, all beginnings were too.
    """
    texts = texts_of(query)
    whole = reduce(np.intersect1d, read)
    unsure = np.setdiff1d(found, whole)
    if not texts or not len(unsure) or not embeddings.keys() >= set(texts):
        return found
    known = calibration.of_version(served.model_version)
    image_ids, best = served.index.best(np.stack([embeddings[text] for text in texts]), unsure)
    by_text = dict(zip(texts, best.astype(np.float64), strict=True))
    rows = transcripts.readings(
        session, image_ids=image_ids.tolist(), texts=texts, way="contains", version=served.model_version
    )
    groups = transcripts.by_photo(rows).items()
    kept = np.ones(len(image_ids), bool)
    for shorter in beginnings(query):
        terms = np.stack([by_text[word] for word in shorter.words])
        scores = Scores(image_ids, terms, (), len(image_ids))
        showing = [
            np.array([key for key, group in groups if transcripts.shows(group, term, "contains")], np.int64)
            for term in shorter.terms
        ]
        cut = ranking.suggested_cut(shorter, known)
        kept &= ranking.reaching(shorter, scores, cut, showing, known)
    return np.union1d(np.intersect1d(found, whole), image_ids[kept])
