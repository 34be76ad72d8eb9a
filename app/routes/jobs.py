"""Jobs: how far uploads and re-indexing have come."""

from typing import Annotated

from fastapi import APIRouter, Path

from app.deps import ServiceDep, SessionDep
from app.problems import documented
from app.schemas import JobFailure, JobOut, ReindexAnswer
from app.values import Id
from indexer import changes, queries, versions

router = APIRouter(tags=["jobs"])


@router.post("/reindex", status_code=202, response_model=ReindexAnswer, responses=documented(403, 503))
def reindex(service: ServiceDep, session: SessionDep) -> ReindexAnswer:
    """Index again what the running network has not indexed, or everything if there is no such photo.

    Meanwhile search answers from what is there; when all is done, it switches.
    """
    version = service.encoder.version
    versions.add(session, version=version, dimension=service.encoder.dimension)
    job = versions.start_reindex(session, version=version)
    return ReindexAnswer(job=job.id, photos=job.total, model_version=version)


@router.get("/jobs/{job_id}", response_model=JobOut, responses=documented(404, 422, 503))
def get_job(
    session: SessionDep, service: ServiceDep, job_id: Annotated[Id, Path(description="Id of the job.")]
) -> JobOut:
    """Return how far an upload or re-index has come, and its first 100 failures.

    When it is done, its photos can be found.
    """
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
