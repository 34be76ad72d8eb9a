"""Bodies of requests and responses."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.values import Bytes, CollectionName, Condition, JsonMinScore, MinScore, Moment, QueryText

ImageStatus = Literal["queued", "processing", "indexed", "failed"]
Match = Literal["similar", "exact", "prefix", "contains"]
MatchKind = Literal["exact", "similar"]


SEARCH_EXAMPLE: dict[str, Any] = {
    "query": "Coffee",
    "words": ["coffee"],
    "excluded": [],
    "ignored": [],
    "total": 1,
    "suggested_min_score": 0.6497,
    "did_you_mean": [],
    "took_ms": {"encode": 2.7, "index": 3.1, "database": 4.0, "total": 9.9},
    "hits": [
        {
            "image": {
                "id": 7,
                "name": "sign.jpg",
                "collection": "default",
                "width": 1280,
                "height": 720,
                "metadata": {"year": 2024},
                "taken_at": "2024-05-01T10:00:00Z",
                "url": "/images/7/file",
                "thumbnail_url": "/images/7/thumbnail",
            },
            "score": 0.98,
            "match": "exact",
            "boxes": [
                {
                    "id": 91,
                    "word": "coffee",
                    "box": [10, 20, 210, 80],
                    "quad": [[10, 20], [210, 20], [210, 80], [10, 80]],
                    "score": 0.98,
                    "text": "COFFEE",
                    "match": "exact",
                }
            ],
        }
    ],
}


ANNOTATE_EXAMPLE: dict[str, Any] = {
    "width": 1280,
    "height": 720,
    "words": [
        {
            "word": "Coffee",
            "box": [10, 20, 210, 80],
            "quad": [[10, 20], [210, 20], [210, 80], [10, 80]],
            "score": 0.97,
            "text": "COFFEE",
        },
        {"word": "tea", "box": None, "quad": None, "score": None, "text": None},
    ],
    "took_ms": {"decode": 12.0, "network": 840.5, "total": 856.0},
}


class Problem(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class UploadItem(BaseModel):
    """What became of one uploaded file."""

    id: int | None = Field(description="Id of the photo, also of the one that was there before.")
    name: str
    sha256: str | None
    status: Literal["queued", "processing", "indexed", "failed", "duplicate", "rejected"]
    reason: str | None


class UploadAnswer(BaseModel):
    """What became of the uploaded files, in their order, and the job that counts them."""

    items: list[UploadItem]
    job: int


class UrlList(BaseModel):
    """Photos to fetch from the web."""

    urls: list[Annotated[str, StringConstraints(min_length=1, max_length=2000)]] = Field(
        min_length=1, max_length=100, description="http and https, on the Internet."
    )
    collection: CollectionName = "default"
    metadata: dict[str, Any] = Field({}, description="Kept with each photo.")


class ImageBrief(BaseModel):
    """A photo, as far as a result needs it."""

    id: int
    name: str
    collection: str
    width: int = Field(description="Pixels of the upright photo.")
    height: int
    metadata: dict[str, Any]
    taken_at: datetime | None
    url: str
    thumbnail_url: str


class ImageDetail(ImageBrief):
    """A photo and how far its indexing has come."""

    sha256: str
    media_type: str
    size_bytes: int
    status: ImageStatus
    reason: str | None
    proposals: int = Field(description="Number of text regions found.")
    model_version: str | None
    created_at: datetime
    indexed_at: datetime | None


class ImagePage(BaseModel):
    """Photos by ascending id; `next` is the cursor of the following page."""

    items: list[ImageDetail]
    next: int | None


class ProposalOut(BaseModel):
    """A text region: box xyxy and corners in pixels of the upright photo, its legibility, what was read."""

    id: int
    box: list[float]
    quad: list[list[float]]
    score: float
    text: str
    confidence: float


class ProposalList(BaseModel):
    """The text regions of a photo, best first."""

    items: list[ProposalOut]


class BoxOut(BaseModel):
    """A text region that matches a word of the query; `score` is its similarity to it, in [-1, 1]."""

    id: int = Field(description="Of the region, as in the list of the photo's proposals.")
    word: str = Field(description="Of the query, folded; of a phrase all words, if one region shows them.")
    box: list[float]
    quad: list[list[float]]
    score: float
    text: str = Field(description="What was read there; it may be wrong or empty.")
    match: MatchKind = Field(description="`exact`: the word stands in what was read; else it looks alike.")


class HitOut(BaseModel):
    """A photo of the ranking; `score` is the mean over the words of the query, -1 without any text.

    Of a single word, photos below the suggested score among the first 20 are ordered by more than the score.
    """

    image: ImageBrief
    score: float
    match: MatchKind = Field(description="`exact`: the whole query stands in what was read.")
    boxes: list[BoxOut] = Field(description="One for each word of the query, then others by score.")


class SearchAnswer(BaseModel):
    """One page of the ranking; `total` counts the photos of all pages."""

    model_config = ConfigDict(json_schema_extra={"examples": [SEARCH_EXAMPLE]})

    query: str
    words: list[str] = Field(description="What is looked for, folded.")
    excluded: list[str] = Field(description="What a photo must not show, folded.")
    ignored: list[str] = Field(description="Characters of the query that the network does not know.")
    total: int
    suggested_min_score: float = Field(description="From here on nine in ten photos are likely right.")
    did_you_mean: list[str] = Field(description="Where no photo likely shows the query: other spellings.")
    took_ms: dict[str, float]
    hits: list[HitOut]


class SearchOptions(BaseModel):
    """What a search is among, and what of the ranking is wanted."""

    limit: int = Field(20, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=10**9)
    match: Match = Field(
        "similar",
        description="`similar` ranks all photos. The others take only photos with every word in a transcript:"
        " `exact` as it is, `prefix` at the beginning, `contains` anywhere.",
    )
    min_score: MinScore | None = Field(
        None,
        description="Leave out photos below it; `suggested`: below the answer's `suggested_min_score`, or"
        " below that of a beginning of the query."
        " Where the query stands in what was read, a photo counts as one that reaches the suggested score.",
    )
    collection: CollectionName | None = None
    where: list[Condition] = Field(
        [],
        max_length=20,
        description="Conditions that all hold: meta.KEY, width, height or bytes, one of = < <= > >=, and a"
        ' number or a text. A text in "quotes" is never taken for a number.',
        examples=[["meta.year>=2020", "width>=1000"]],
    )
    taken_after: Moment | None = Field(None, description="Only photos taken then or later.")
    taken_before: Moment | None = Field(None, description="Only photos taken before.")


class SearchParameters(SearchOptions):
    """One query."""

    q: QueryText = Field(
        description='Words, up to 16; a "phrase in quotes" stands together, a -word is to be absent.',
        examples=["google", 'coffee "to go" -tea'],
    )
    format: Literal["json", "csv", "coco"] = Field(
        "json",
        description="`csv` and `coco` are files of the whole ranking, or of the `limit` best if it is given.",
    )


class SearchRequest(SearchOptions):
    """Several queries at once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"queries": ["coffee", "hotel"], "limit": 5}]})

    queries: list[QueryText] = Field(
        min_length=1, max_length=100, description="As `q` of `GET /search`; 100 words together at most."
    )
    # In JSON a number is one, and neither a text nor a truth value.
    limit: int = Field(20, ge=1, le=1000, strict=True)
    offset: int = Field(0, ge=0, le=10**9, strict=True)
    min_score: JsonMinScore | None = None


class QueryRegion(BaseModel):
    """A text region of the photo that was sent, whose look is searched for."""

    word: str = Field(description="What was read there, folded; boxes of hits name it.")
    text: str
    box: list[float]
    quad: list[list[float]]
    score: float = Field(description="How likely a word can be read there.")


class ImageSearchAnswer(SearchAnswer):
    """One page of the ranking for a photo; its words are the regions searched for."""

    regions: list[QueryRegion]


class SuggestionOut(BaseModel):
    """A query to offer, and how many photos show its last word."""

    text: str
    photos: int


class SuggestionList(BaseModel):
    """Queries that begin with what was typed, most photos first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [{"text": "coffee", "photos": 12}]}]})

    items: list[SuggestionOut]


class SearchAnswers(BaseModel):
    """A ranking for each query, in their order."""

    results: list[SearchAnswer]
    took_ms: dict[str, float]


class CollectionOut(BaseModel):
    """A collection and what it holds."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    images: dict[str, int] = Field(description="Photos by status.")
    bytes_used: int = Field(description="Length of all its photos together.")
    quota_bytes: int | None = Field(description="What they may have together; null: any number.")
    created_at: datetime


class CollectionList(BaseModel):
    """All collections, by name."""

    items: list[CollectionOut]


class NewCollection(BaseModel):
    """A collection to make."""

    name: CollectionName
    quota_bytes: Bytes | None = None


class CollectionChange(BaseModel):
    """What to change of a collection; what is left out stays."""

    name: CollectionName | None = None
    quota_bytes: Bytes | None = Field(None, description="null: without a quota.")


class AnnotatedWord(BaseModel):
    """The place of a word in a photo; all null if no region was left for it."""

    word: str = Field(description="As it was given.")
    box: list[float] | None = Field(description="x0, y0, x1, y1 in pixels of the upright photo.")
    quad: list[list[float]] | None = Field(description="Corners, clockwise from the reading start.")
    score: float | None = Field(description="Similarity of word and region, in [-1, 1].")
    text: str | None = Field(description="What was read there; it may be wrong or empty.")


class AnnotateAnswer(BaseModel):
    """The places of the words, in the order in which they were given; the size of the upright photo."""

    model_config = ConfigDict(json_schema_extra={"examples": [ANNOTATE_EXAMPLE]})

    width: int
    height: int
    words: list[AnnotatedWord]
    took_ms: dict[str, float]


class JobFailure(BaseModel):
    """A photo of the job that could not be indexed."""

    id: int
    name: str
    reason: str | None


class JobOut(BaseModel):
    """How far an upload has come."""

    id: int
    kind: str
    created_at: datetime
    total: int
    rejected: int
    counts: dict[str, int]
    done: bool
    failures: list[JobFailure]


class Health(BaseModel):
    """State of the service and of each thing it needs."""

    status: Literal["ok", "starting"]
    checks: dict[str, bool]
    index_watermark: int = Field(description="Last change of the gallery that the index contains.")
    images: dict[str, int] = Field(description="Photos by status.")
    model_version: str = Field(description="Of the network that runs.")
    served_version: str | None = Field(description="Of the network that search answers from.")


class ReindexAnswer(BaseModel):
    """A re-index that has begun: its job, and how many photos it has to do."""

    job: int
    photos: int
    model_version: str
