"""Whether the service lives and is ready, and numbers about it."""

from fastapi import APIRouter, Response

from app.deps import Service, ServiceDep
from app.metrics import Metrics
from app.problems import documented
from app.schemas import Health
from indexer import queries
from indexer.database import migration_state, session_scope
from indexer.errors import DatabaseUnavailable, NotReady

router = APIRouter(tags=["health"])


@router.get("/livez")
async def livez() -> dict[str, str]:
    """Answer as long as the process can."""
    return {"status": "ok"}


@router.get("/readyz", response_model=Health, responses={503: {"model": Health}})
def readyz(service: ServiceDep, response: Response) -> Health:
    """Tell whether database, tables, network and index are ready to answer searches."""
    checks = {"database": True, "migrations": False, "model": True, "index": service.follower.ready}
    images: dict[str, int] = {}
    try:
        checks["migrations"] = migration_state(service.engine).up_to_date
        if checks["migrations"]:
            with session_scope(service.engine) as session:
                images = queries.count_images(session)
    except DatabaseUnavailable:
        checks["database"] = False
    served = service.follower.served().model_version if checks["index"] else None
    if served:
        checks["model"] = _can_search(service, served)
    ready = all(checks.values())
    response.status_code = 200 if ready else 503
    watermark = service.follower.watermark
    return Health(
        status="ok" if ready else "starting",
        checks=checks,
        index_watermark=watermark,
        images=images,
        model_version=service.encoder.version,
        served_version=served,
    )


def _can_search(service: Service, version: str) -> bool:
    try:
        service.encoder_of(version)
    except NotReady:
        return False
    return True


@router.get("/metrics", responses={200: {"content": {"text/plain": {}}}, **documented(503)})
def metrics(service: ServiceDep) -> Response:
    """Numbers for Prometheus."""
    with session_scope(service.engine) as session:
        images = queries.count_images(session)
    indexed = service.follower.served().index.count(None) if service.follower.ready else 0
    page = service.metrics.render(images, indexed, service.follower.watermark)
    return Response(page, media_type=Metrics.content_type)
