"""Collections: what they are called and what they hold."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.deps import SessionDep
from app.problems import documented
from indexer import queries

router = APIRouter(prefix="/collections", tags=["collections"], responses=documented(503))


class CollectionOut(BaseModel):
    """A collection."""

    name: str
    images: dict[str, int] = Field(description="Photos by status.")


class CollectionList(BaseModel):
    """All collections, by name."""

    items: list[CollectionOut]


@router.get("", response_model=CollectionList)
def list_collections(session: SessionDep) -> CollectionList:
    """List the collections."""
    names = [collection.name for collection in queries.list_collections(session)]
    return CollectionList(
        items=[
            CollectionOut(name=name, images=queries.count_images(session, collection=name)) for name in names
        ]
    )
