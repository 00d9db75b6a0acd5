"""Liveness and readiness, for those who watch the process; no key is needed."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from viral_platform.api.backend import Shared
from viral_platform.api.readiness import readiness
from viral_platform.api.schemas import Alive, Readiness

router = APIRouter(tags=["health"])


@router.get("/healthz", response_model=Alive)
async def healthz() -> Response:
    """Tell that the process serves; nothing else is touched."""
    return JSONResponse(Alive().model_dump())


@router.get(
    "/readyz",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Predictions cannot be answered."}},
)
async def readyz(backend: Shared) -> Response:
    """Tell whether predictions can be answered, and which parts an answer would lack."""
    found = await readiness(backend)
    status = 503 if found.status == "unavailable" else 200
    return JSONResponse(found.model_dump(mode="json"), status_code=status)
