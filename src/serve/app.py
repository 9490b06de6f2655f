"""The HTTP interface: TensorFlow Serving's and KServe's paths, health, metrics, documentation, the page."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from src.bundle.folder import check_name
from src.bundle.model import Bundle
from src.serve import docs
from src.serve.bodies import discard_body, read_body
from src.serve.errors import Refusal
from src.serve.hosts import AllowedHosts
from src.serve.limits import Limits
from src.serve.observer import Observer
from src.serve.page import Page
from src.serve.predictor import Predictor
from src.serve.schemas import Failure

_ERRORS = {
    408: "the body did not arrive in time",
    413: "the body is too large",
    415: "the body is compressed",
    421: "the Host header names another host",
    422: "not JSON, a wrong type, an unknown or missing key, too many instances, a text that is too long; the message names the place",
    429: "too many rows are waiting; Retry-After says when to try again",
    500: "the server failed; its log has the reason",
    503: "the server is stopping",
}


class Health(BaseModel):
    """Whether requests are accepted."""

    status: str


def make_app(bundle: Bundle, limits: Limits, name: str | None = None, allowed_hosts: Iterable[str] = ()) -> FastAPI:
    """An ASGI application that serves one bundle.

    Args:
        name: the model's name in the paths, by default the bundle's.
        allowed_hosts: see AllowedHosts.

    Returns:
        The application; the caller starts and closes its state.predictor.
    """
    name = bundle.name if name is None else name
    check_name(name)
    predictor = Predictor(bundle, limits)
    app = FastAPI(
        title=f"{name}: {bundle.task}", version="1", docs_url=None, redoc_url=None, redirect_slashes=False, description=docs.SUMMARY
    )
    app.state.predictor = predictor
    _add_predict(app, predictor, f"/v1/models/{name}:predict")
    _add_model(app, predictor, name)
    _add_service(app, predictor)
    docs.add(app, predictor.form, f"/v1/models/{name}:predict")
    page = Page(name, bundle, predictor.form)
    app.get("/", include_in_schema=False)(lambda: HTMLResponse(page.html, headers=page.headers))
    _add_errors(app, name)
    app.add_middleware(AllowedHosts, names=allowed_hosts)
    app.add_middleware(Observer, metrics=predictor.metrics, paths={getattr(route, "path", "") for route in app.routes})
    return app


def _add_predict(app, predictor, path):
    responses = {code: {"model": Failure, "description": text} for code, text in _ERRORS.items()}

    @app.post(path, responses={200: {"model": predictor.form.response}, **responses}, summary="Predict")
    async def predict(request: Request) -> Response:
        """Predictions in the order of the instances."""
        if predictor.gate.draining:
            await discard_body(request)
        with predictor.gate.entered(), predictor.gate.holding() as hold:
            body = await read_body(request, predictor.limits.max_body_bytes, hold, predictor.gate)
            return Response(await predictor.answer(body, request.receive), media_type="application/json")


def _add_model(app, predictor, name):
    def status() -> dict[str, Any]:
        state = "UNLOADING" if predictor.gate.draining else "AVAILABLE"
        return {"version": "1", "state": state, "status": {"error_code": "OK", "error_message": ""}}

    @app.get(f"/v1/models/{name}", summary="State and description of the model")
    async def describe() -> dict:
        """TensorFlow Serving's state, KServe's `ready`, and the bundle's description of itself."""
        own = {"name": name, "ready": not predictor.gate.draining, "limits": vars(predictor.limits)}
        return {**predictor.bundle.describe(), **own, "model_version_status": [status()]}

    @app.get(f"/v1/models/{name}/metadata", summary="Form of requests and answers")
    async def metadata() -> dict:
        """JSON schemas, in the place of TensorFlow Serving's signatures."""
        schemas = {"request": predictor.form.request.model_json_schema(), "response": predictor.form.response.model_json_schema()}
        return {"model_spec": {"name": name, "version": "1", "signature_name": "serving_default"}, "metadata": schemas}

    @app.get("/v1/models", summary="Names of the models")
    async def models() -> dict:
        """The one model."""
        return {"models": [name]}


def _add_service(app, predictor):
    @app.get("/healthz", responses={503: {"model": Failure, "description": _ERRORS[503]}}, summary="Health")
    async def healthz() -> Health:
        """200 while requests are accepted."""
        if predictor.gate.draining:
            raise Refusal(503, "the server is stopping")
        return Health(status="ok")

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})
    async def metrics() -> Response:
        """Prometheus' text form."""
        return Response(predictor.metrics.text(), headers={"content-type": predictor.metrics.content_type})


def _add_errors(app, name):
    def answer(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        return Response(json.dumps({"error": message}), status, headers, "application/json")

    @app.exception_handler(Refusal)
    async def refuse(request, error):
        return answer(error.status, error.message, error.headers)

    @app.exception_handler(HTTPException)
    async def explain(request, error):
        message = error.detail
        if error.status_code == 404:
            message = f"{request.url.path[:100]} is not here; this server's only model is /v1/models/{name}"
        return answer(error.status_code, message, error.headers)
