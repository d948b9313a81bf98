"""The routes, one file a resource; each has `router(deps) -> APIRouter`."""
