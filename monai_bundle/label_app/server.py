"""MONAI Label's server, with a message where it would answer a bare "Internal Server Error"."""

from __future__ import annotations

import json
import logging

from fastapi import Request
from fastapi.responses import JSONResponse
from monailabel.app import app
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException

from braintumor_ext.errors import plain_message

logger = logging.getLogger(__name__)


async def broken_json(request: Request, error: Exception) -> JSONResponse:
    """Answer parameters that are no JSON."""
    return JSONResponse({"detail": f"params: is no JSON ({error})."}, status_code=400)


async def not_possible(request: Request, error: Exception) -> JSONResponse:
    """Answer what MONAI Label refuses: an unknown model, image or strategy."""
    assert isinstance(error, MONAILabelException)
    unknown = error.error in (MONAILabelError.INVALID_INPUT, MONAILabelError.APP_INIT_ERROR, MONAILabelError.APP_ERROR)
    return JSONResponse({"detail": error.msg}, status_code=404 if unknown else 500)


async def failed(request: Request, error: Exception) -> JSONResponse:
    """Answer an input that cannot be used; any other error is the server's own."""
    message = plain_message(error)
    if message is not None:
        return JSONResponse({"detail": message}, status_code=422)
    logger.error("%s failed.", request.url.path, exc_info=error)
    return JSONResponse({"detail": f"{type(error).__name__}: {error}"}, status_code=500)


app.add_exception_handler(json.JSONDecodeError, broken_json)
app.add_exception_handler(MONAILabelException, not_possible)
app.add_exception_handler(ValueError, failed)
app.add_exception_handler(RuntimeError, failed)
app.add_exception_handler(Exception, failed)

__all__ = ["app"]
