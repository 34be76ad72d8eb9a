"""Jobs: how far uploads have come."""

from typing import Annotated

from fastapi import APIRouter, Path

from app.deps import ServiceDep, SessionDep
from app.problems import documented
from app.schemas import Id, JobFailure, JobOut
from indexer import changes, queries

router = APIRouter(prefix="/jobs", tags=["jobs"], responses=documented(404, 422, 503))


@router.get("/{job_id}", response_model=JobOut)
def get_job(
    session: SessionDep, service: ServiceDep, job_id: Annotated[Id, Path(description="Id of the job.")]
) -> JobOut:
    """Return how far an upload has come, and its first 100 failures; when done, its photos can be found."""
    job = queries.get_job(session, job_id=job_id)
    done = job.done and service.follower.watermark >= changes.last_of_job(session, job_id=job_id)
    failed = queries.list_failures(session, job_id=job_id, limit=100)
    return JobOut(
        id=job.id,
        kind=job.kind,
        created_at=job.created_at,
        total=job.total,
        rejected=job.rejected,
        counts=job.counts,
        done=done,
        failures=[JobFailure(id=image.id, name=image.name, reason=image.reason) for image in failed],
    )
