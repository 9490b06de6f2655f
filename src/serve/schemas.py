"""Strict schemas of requests and answers for a bundle's task; the OpenAPI document is made from them."""

from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError, conlist, create_model

from src.bundle.model import Bundle
from src.serve.errors import Refusal
from src.serve.limits import Limits
from src.tasks.task import TASKS

_SHOWN = 5  # errors named in one refusal
_STRICT = ConfigDict(strict=True, extra="forbid")
_NOT_BLANK = r"[^\s\x1c-\x1f\x85]"  # a character that str.strip keeps, in every regex dialect


class Failure(BaseModel):
    """An answer other than a prediction."""

    error: str


class Form:
    """The schemas of one bundle's requests and answers.

    Attributes:
        fields: names of an instance's texts.
        example: an instance.
        request, response: Pydantic models.
    """

    def __init__(self, bundle: Bundle, limits: Limits):
        self.fields = tuple(bundle.describe()["instance"]["required"])
        task = TASKS[bundle.task]
        self.example = bundle.example
        text = Annotated[str, Field(max_length=limits.max_text_chars)]
        filled = Annotated[str, Field(max_length=limits.max_text_chars, pattern=_NOT_BLANK)]
        keys: dict[str, Any] = {name: (filled if name in task.serving.NOT_BLANK else text, ...) for name in self.fields}
        instance: Any = create_model("Instance", __config__=_STRICT, **keys)
        if len(self.fields) == 1:
            instance = self._with_short_forms(instance, filled if self.fields[0] in task.serving.NOT_BLANK else text)
        keys = {
            "instances": (conlist(instance, min_length=1, max_length=limits.max_instances), ...),
            "signature_name": (Literal["serving_default"], "serving_default"),  # TensorFlow Serving's clients send it
        }
        if bundle.takes_top_k:
            number = Field(ge=1, le=1000, description="so many of the most probable; default: all labels, a few answers")
            top_k: Any = (Annotated[int, number, BeforeValidator(_to_whole)], None)
            keys["parameters"] = (create_model("Parameters", __config__=_STRICT, top_k=top_k), None)
        config = ConfigDict(**_STRICT, json_schema_extra={"examples": [{"instances": [self.example]}]})
        self.request = create_model("PredictRequest", __config__=config, **keys)
        predictions: Any = (conlist(task.schema.result_model(bundle.settings)), ...)
        self.response = create_model("PredictResponse", predictions=predictions)

    def _with_short_forms(self, instance, text):
        """The schema of an instance that is one text: an object with its name or with `text` as key, or the bare string."""
        name = self.fields[0]
        kinds = [Annotated[text, Tag("string")], Annotated[instance, Tag("object")]]
        if name != "text":
            kinds.append(Annotated[create_model("TextInstance", __config__=_STRICT, text=(text, ...)), Tag("text object")])

        def kind(value: Any) -> str | None:
            if isinstance(value, str):
                return "string"
            if not isinstance(value, dict):
                return None
            return "text object" if name != "text" and "text" in value and name not in value else "object"

        message = f"must be a string or an object with the key {name}"
        return Annotated[Union[tuple(kinds)], Discriminator(kind, custom_error_type="instance", custom_error_message=message)]  # noqa: UP007

    def check(self, document: Any) -> tuple[list[Any], int | None]:
        """Instances and top_k of a parsed body.

        Raises:
            Refusal: 422, with the path of each error, such as instances[3].text.
        """
        try:
            request = self.request.model_validate(document)
        except ValidationError as error:
            raise Refusal(422, _explain(error, len(self.fields) == 1)) from None
        parameters = getattr(request, "parameters", None)
        return document["instances"], parameters and parameters.top_k


def _to_whole(value):
    """A whole float as int: 2.0 is an integer in JSON Schema, and some languages write 2 that way."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _explain(error, tagged):
    """The first errors, as `instances[3].text: must be a string, not a number`; `tagged`: an instance has several forms."""
    errors = error.errors(include_url=False)
    lines = [f"{_path(each['loc'], tagged)}: {_reason(each)}" for each in errors[:_SHOWN]]
    more = f"; and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
    return "; ".join(lines) + more


def _path(location, tagged):
    path = ""
    for depth, part in enumerate(location):
        if isinstance(part, int):
            path += f"[{part}]"
        elif not (tagged and depth == 2):  # there Pydantic names the form, not a key
            name = part if len(part) <= 40 else f"{part[:40]}…"
            path += f".{name}" if path else name
    return path or "body"


def _reason(error):
    context = error.get("ctx", {})
    kind = error["type"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "string_unicode":
        return "holds half of a surrogate pair, which is no character"
    if kind == "string_too_long":
        return f"is longer than {context['max_length']} characters"
    if kind == "too_long":
        return f"more than {context['max_length']} at once"
    if kind in ("too_short", "string_pattern_mismatch"):
        return "is empty"
    if kind.startswith(("model_", "dict_")):
        return f"must be an object, not {_name(error['input'])}"
    if kind in ("string_type", "int_type", "list_type"):
        wanted = {"string_type": "a string", "int_type": "an integer", "list_type": "a list"}[kind]
        return f"must be {wanted}, not {_name(error['input'])}"
    return error["msg"]


def _name(value):
    """JSON's name for the type of a value."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "a boolean"
    return {str: "a string", int: "a number", float: "a number", list: "a list"}.get(type(value), "an object")
