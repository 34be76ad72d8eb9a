"""Collections: make, list, rename and drop them; what they hold and may hold."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response

from app.deps import ServiceDep, SessionDep
from app.problems import documented
from app.schemas import CollectionChange, CollectionList, CollectionOut, NewCollection
from app.values import CollectionName
from indexer import collections, pipeline
from indexer.errors import Conflict

router = APIRouter(prefix="/collections", tags=["collections"], responses=documented(503))

# A name may hold slashes.
ONE = "/{name:path}"
Name = Annotated[CollectionName, Path(description="Name of the collection.")]


@router.get("", response_model=CollectionList)
def list_collections(session: SessionDep) -> CollectionList:
    """List the collections."""
    found = collections.list_overviews(session)
    return CollectionList(items=[CollectionOut.model_validate(each) for each in found])


@router.post("", status_code=201, response_model=CollectionOut, responses=documented(400, 403, 409, 413, 422))
def create_collection(session: SessionDep, new: NewCollection) -> CollectionOut:
    """Make an empty collection; an upload makes the one that it names by itself."""
    collections.create(session, name=new.name, quota_bytes=new.quota_bytes)
    return CollectionOut.model_validate(collections.overview(session, name=new.name))


@router.patch(ONE, response_model=CollectionOut, responses=documented(400, 403, 404, 409, 413, 422))
def change_collection(session: SessionDep, name: Name, change: CollectionChange) -> CollectionOut:
    """Rename a collection or change its quota; what it holds stays, even beyond the quota."""
    if "quota_bytes" in change.model_fields_set:
        collections.set_quota(session, name=name, quota_bytes=change.quota_bytes)
    if change.name is not None:
        collections.rename(session, name=name, new_name=change.name)
    return CollectionOut.model_validate(collections.overview(session, name=change.name or name))


@router.delete(ONE, status_code=204, responses=documented(403, 404, 409, 422))
def drop_collection(
    service: ServiceDep,
    name: Name,
    photos: Annotated[
        Literal["keep", "delete"], Query(description="`delete`: its photos too; else it must be empty.")
    ] = "keep",
) -> Response:
    """Drop a collection; its photos go from database, index and disk if that is asked for."""
    try:
        pipeline.drop_collection(service.engine, service.blobs, name=name, with_photos=photos == "delete")
    except Conflict as exc:
        raise Conflict(
            f"{exc}; ?photos=delete, or --with-photos on the command line, deletes them too"
        ) from exc
    return Response(status_code=204)
