"""The operations of an OpenAPI document, what a client's method has that differs, and the lines that are missing."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_overloads, get_type_hints

from tests.contract.shapes import ANYTHING, Schema, differences, shape_of, shape_of_type, text

JSON, URLENCODED = "application/json", "application/x-www-form-urlencoded"
OURS = frozenset({"resume", "filters"})  # parameters that say how a method works, or stand for any of a metric's dimensions
UNTYPED = (ANYTHING, frozenset({("map", ANYTHING)}))
Method = Callable[..., Any]


@dataclass(frozen=True)
class Operation:
    """One of a document. `defined` are the document's schemas."""

    id: str
    method: str
    path: str
    parameters: Mapping[str, Schema]
    body: Schema | None
    file: bool
    answer: Schema | None
    defined: Mapping[str, Schema]

    def called(self, place: str) -> dict[str, Schema]:
        """Its parameters in `path`, `query` or `header`, by their names in Python."""
        return {name: one for name, one in self.parameters.items() if one["in"] == place}


def operations_of(document: Mapping[str, Any]) -> dict[str, Operation]:
    """All of a document, by id."""
    return {
        told["operationId"]: _operation(method.upper(), path, told, document["components"]["schemas"])
        for path, methods in document["paths"].items()
        for method, told in methods.items()
    }


def _operation(method: str, path: str, told: Mapping[str, Any], defined: Mapping[str, Schema]) -> Operation:
    content = told.get("requestBody", {}).get("content", {})
    body = content.get(JSON) or content.get(URLENCODED)
    answers = [answer.get("content", {}).get(JSON) for status, answer in told["responses"].items() if status < "300"]
    return Operation(
        id=told["operationId"],
        method=method,
        path=path,
        parameters={_python(one["name"]): one for one in told.get("parameters", ())},
        body=body["schema"] if body else None,
        file=bool(content) and not body,
        answer=next((answer["schema"] for answer in answers if answer), None),
        defined=defined,
    )


def _python(name: str) -> str:
    plain = name.lower().replace("-", "_")
    return f"{plain}_" if keyword.iskeyword(plain) else plain


def faults(operation: Operation, method: Method) -> Iterator[str]:
    """What to change in the method."""
    given = {name: one for name, one in inspect.signature(method).parameters.items() if name != "self"}
    hints = get_type_hints(method, include_extras=True)
    for name, documented in operation.parameters.items():
        if name not in given:
            yield f"add the parameter `{_parameter(name, documented, operation)}`"
            continue
        if documented.get("required") and given[name].default is not inspect.Parameter.empty:
            yield f"the parameter `{name}` has to be given: take its default away"
        if documented["in"] != "header":
            ours, theirs = shape_of_type(hints[name]), shape_of(documented["schema"], operation.defined)
            yield from differences(ours - {("is", None)}, theirs - {("is", None)}, name)
    for name in given.keys() - operation.parameters.keys() - {"body", "content", "headers"} - OURS:
        yield f"take out the parameter `{name}`"
    yield from _faults_of_bodies(operation, given.keys(), hints)
    returns = get_type_hints((get_overloads(method) or [method])[0], include_extras=True)["return"]
    if operation.answer is not None and not operation.path.startswith("/v1/providers/"):
        documented_answer = shape_of(operation.answer, operation.defined)
        if documented_answer not in UNTYPED:
            yield from differences(shape_of_type(returns), documented_answer, "its answer")


def _faults_of_bodies(operation: Operation, given: Any, hints: Mapping[str, Any]) -> Iterator[str]:
    if (operation.body is not None) != ("body" in given):
        yield "take out `body`" if operation.body is None else f"add the parameter `body: {_named(operation.body, operation)}`"
    elif operation.body is not None:
        yield from differences(shape_of_type(hints["body"]), shape_of(operation.body, operation.defined), "body")
    if operation.file and "content" not in given:
        yield "add the parameter `content: bytes`"


def lines_to_add(operation: Operation) -> str:
    """The method that an operation lacks. Types that it names and that are not there yet go into the service's types."""
    path = ", ".join([f'"{_template(operation)}"', *operation.called("path"), *(f"{n}={n}" for n in operation.called("query"))])
    at = f"at({path})" if operation.parameters.keys() - operation.called("header").keys() else path
    body = "body" if operation.body is not None else "None"
    shape = _answer(operation)
    by_method = {"GET": f"_get({shape}, {at})", "PUT": f"_put({shape}, {at}, {body}, if_match)"}
    if "idempotency_key" in operation.parameters:
        again = ', method="DELETE"' if operation.method == "DELETE" else ""
        call = f"_post({shape}, {at}, {body}, idempotency_key{again})"
    elif operation.method == "DELETE":
        call = f"_delete({at}, if_match)"
    elif operation.method == "PATCH":
        call = f'_put({shape}, {at}, {body}, if_match, method="PATCH")'
    else:
        call = by_method.get(operation.method, f"_post_once({shape}, {at}, {body})")
    taken = [_parameter(name, one, operation) for name, one in operation.called("path").items()]
    taken += [f"body: {_named(operation.body, operation)}"] if operation.body is not None else []
    taken += [_parameter(name, one, operation) for name, one in operation.parameters.items() if one["in"] != "path"]
    head = f"    async def {operation.id}({', '.join(['self', *taken])}) -> {shape}:"
    return f"{head}\n        return await self.{call}"


def _template(operation: Operation) -> str:
    path = operation.path
    for documented in operation.called("path").values():
        path = path.replace("{" + documented["name"] + "}", "{}")
    return path


def _parameter(name: str, documented: Schema, operation: Operation) -> str:
    kind = "int" if name == "if_match" else text(shape_of(documented["schema"], operation.defined) - {("is", None)})
    return f"{name}: {kind}" if documented.get("required") else f"{name}: {kind} | None = None"


def _answer(operation: Operation) -> str:
    if operation.answer is None:
        return "None"
    if shape_of(operation.answer, operation.defined) in UNTYPED:
        return "Page[Json]" if "cursor" in operation.parameters else "Json"
    return _named(operation.answer, operation)


def _named(schema: Schema, operation: Operation) -> str:
    return str(schema["$ref"].rpartition("/")[2]) if "$ref" in schema else text(shape_of(schema, operation.defined))
