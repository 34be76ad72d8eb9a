"""Bodies of requests and responses."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

ImageStatus = Literal["queued", "processing", "indexed", "failed"]
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
Bytes = Annotated[int, Field(ge=0, le=2**63 - 1)]
Word = Annotated[str, StringConstraints(max_length=200)]
CollectionName = Annotated[
    str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")
]


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
    """A text region: box xyxy and corners in pixels of the upright photo, detector score, what was read."""

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
    """A matching text region; `score` is its similarity to the query, in [-1, 1]."""

    box: list[float]
    quad: list[list[float]]
    score: float
    text: str


class HitOut(BaseModel):
    """A photo of the ranking; `score` is that of its best region, -1 if it has none."""

    image: ImageBrief
    score: float
    boxes: list[BoxOut]


class SearchAnswer(BaseModel):
    """One page of the ranking; `total` counts the photos of all pages."""

    query: str
    total: int
    took_ms: dict[str, float]
    hits: list[HitOut]


class SearchRequest(BaseModel):
    """Several queries at once."""

    queries: list[Word] = Field(min_length=1, max_length=100)
    limit: int = Field(20, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=10**9)
    min_score: float | None = Field(None, ge=-1, le=1)
    collection: CollectionName | None = None


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
