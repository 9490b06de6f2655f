"""The OpenAPI document with the task's own schemas, and /docs, a plain page of it that loads nothing from other servers."""

import html
import json
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from src.serve.schemas import Form

SUMMARY = """Texts in, predictions out. Every answer other than 200 is {"error": "..."}.
A body is JSON in UTF-8, whatever its Content-Type says; one that is not JSON or not of the form below is answered 422.
A path that is not here is answered 404, another method 405."""
_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8888; border-radius: .4rem; font-size: .85rem }
td { padding-right: 1rem; vertical-align: top }
"""


def add(app: FastAPI, form: Form, path: str) -> None:
    """Add the request schema of `path` to the application's OpenAPI document, and serve /docs."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = make()
            _put_form(app.openapi_schema, form, path)
        return app.openapi_schema

    setattr(app, "openapi", openapi)  # noqa: B010 (FastAPI's way to change the document; a type checker takes it for a method)
    csp = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(_page(openapi(), form, path), headers={"content-security-policy": csp})


def _put_form(document, form, path):
    """Add the request's schema and its parts to the document's components."""
    schema = form.request.model_json_schema(ref_template="#/components/schemas/{model}")
    components = document["components"]["schemas"]
    components.update(schema.pop("$defs", {}))
    components["PredictRequest"] = schema
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/PredictRequest"}}}
    document["paths"][path]["post"]["requestBody"] = {"required": True, "content": content}


def _page(document, form, path):
    escape = html.escape
    body = json.dumps({"instances": [form.example]}, ensure_ascii=False)
    curl = f"curl -X POST http://HOST:PORT{path} -d '{body}'"
    parts = [f"<h1>{escape(document['info']['title'])}</h1><p>{escape(SUMMARY)}</p><pre>{escape(curl)}</pre>"]
    for address, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(address)}</code></h2><p>{escape(operation['summary'])}</p><table>")
            for code, answer in operation["responses"].items():
                parts.append(f"<tr><td>{escape(code)}</td><td>{escape(answer['description'])}</td></tr>")
            parts.append("</table>")
    parts.append('<h2>Forms</h2><p>JSON schema; for tools: <a href="/openapi.json">/openapi.json</a></p>')
    for name, schema in document["components"]["schemas"].items():
        parts.append(f"<h3>{escape(name)}</h3><pre>{escape(json.dumps(schema, indent=2, ensure_ascii=False))}</pre>")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style>'
    head += f"<title>{escape(document['info']['title'])}</title>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>'
