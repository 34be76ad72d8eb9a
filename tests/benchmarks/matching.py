"""What is found of words as they are and with one letter wrong, beside the ways of others to match OCR.

    python -m tests.benchmarks.matching DATA/icdar2015 [--seed 0] [--json FILE]

A fresh service indexes DATA/icdar2015/test and is asked every word of test_queries.json, and every word of
four letters or more with one letter lost, changed or added by chance, as the page asks: with
`min_score=suggested`, and where that finds nothing, for the first word of `did_you_mean`. The others
search what RapidOCR 3.10 reads in the same photos: the rules are those of the systems, not the systems
themselves.

- same word: one of the words that were read is the query.
- trigrams: Immich's, `ocr_search.text %>> query`: pg_trgm's strict word similarity is 0.5 or more.
- edits: Elasticsearch's `fuzziness: AUTO`: up to two letters no edit, up to five one, from six on two, with a
  swap of neighbours as one.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from rapidfuzz.distance import OSA

from app.client import Client
from app.ingest import find_photos
from indexer.folding import fold
from model.evaluation.dataset import read_photos
from model.evaluation.evaluate import Queries, read_queries
from tests.benchmarks import measuring
from tests.benchmarks.peer import reader

STRICT_SIMILARITY = 0.5  # pg_trgm.strict_word_similarity_threshold
LONG = 4  # letters, from which on a word with a wrong one can still be made out
LONGEST_RUN = 3  # words of a text that are taken together; more are less similar to one word

Rule = Callable[[str, Sequence[str]], bool]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path, help="folder with test/, test.jsonl, test_queries.json")
    parser.add_argument("--seed", type=int, default=0, help="of the wrong letters")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    queries = read_queries(options.dataset / "test_queries.json")
    if not isinstance(queries, dict):
        parser.error("test_queries.json names no photos")
    queries = {word: {Path(name).name for name in names} for word, names in queries.items()}
    misspelt = misspell(queries, np.random.default_rng(options.seed))
    read_lines = reader("openvino", 2)
    texts = {
        Path(photo.name).name: [fold(word) for line in lines for word in line.split()]
        for photo in read_photos(options.dataset / "test.jsonl")
        for lines in read_lines([photo.pixels()])
    }
    rows = {}
    for name, asked in {"as it is": queries, "one letter wrong": misspelt}.items():
        for rule, matches in RULES.items():
            found = {
                word: {photo for photo, words in texts.items() if matches(word, words)} for word in asked
            }
            rows[f"{rule}, {name}"] = measuring.precision_and_recall(found, asked)
    with (
        tempfile.TemporaryDirectory() as folder,
        measuring.service("serve", Path(folder)) as (url, _),
        Client(url) as client,
    ):
        measuring.index(client, find_photos([str(options.dataset / "test")]))
        for name, asked in {"as it is": queries, "one letter wrong": misspelt}.items():
            found = {word: ask(client, word) for word in asked}
            rows[f"glyphseek, {name}"] = measuring.precision_and_recall(found, asked)
    measuring.show("% of the pairs of a query and a photo", rows, options.json)


def ask(client: Client, word: str) -> set[str]:
    """Return the names of the photos that the page shows for a word."""
    answer = client.search(word, limit=1000, min_score="suggested")
    if not answer.hits and answer.did_you_mean:
        answer = client.search(answer.did_you_mean[0], limit=1000, min_score="suggested")
    return {hit.image.name for hit in answer.hits}


def misspell(queries: Queries, rng: np.random.Generator) -> Queries:
    """Return the longer queries with a letter lost, changed or added, but none that becomes another query."""
    result: Queries = {}
    for word in filter(lambda word: len(word) >= LONG, queries):
        place, letter = int(rng.integers(len(word))), str(rng.choice(measuring.LETTERS))
        start, end = word[:place], word[place:]
        wrong = str(rng.choice([start + end[1:], start + letter + end[1:], start + letter + end]))
        if wrong not in queries and wrong not in result:
            result[wrong] = queries[word]
    return result


def same_word(query: str, words: Sequence[str]) -> bool:
    """Tell whether the query was read."""
    return query in words


def similar_trigrams(query: str, words: Sequence[str]) -> bool:
    """Tell whether the strict word similarity of pg_trgm is high enough for some words in a row."""
    wanted = trigrams(query)
    runs = (
        words[start : start + n] for n in range(1, LONGEST_RUN + 1) for start in range(len(words) - n + 1)
    )
    for run in runs:
        seen = set().union(*(trigrams(word) for word in run))
        if len(wanted & seen) >= STRICT_SIMILARITY * len(wanted | seen):
            return True
    return False


@cache
def trigrams(word: str) -> set[str]:
    """Return the trigrams of a word as pg_trgm cuts them, with two spaces before it and one after."""
    padded = f"  {word} "
    return {padded[start : start + 3] for start in range(len(padded) - 2)}


def few_edits(query: str, words: Sequence[str]) -> bool:
    """Tell whether a word was read that differs in as few letters as `fuzziness: AUTO` allows."""
    most = 0 if len(query) <= 2 else 1 if len(query) <= 5 else 2
    return any(OSA.distance(query, word, score_cutoff=most) <= most for word in words)


RULES: dict[str, Rule] = {"same word": same_word, "trigrams": similar_trigrams, "edits": few_edits}


if __name__ == "__main__":
    main()
