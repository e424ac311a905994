"""Finds what pure code must not do: read a clock, random numbers, the environment, files or the network."""

import ast
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PURE_SHARED = ("ticket", "business_time", "conditions", "words")

# fmt: off
IMPURE_MODULES = frozenset({
    "aiokafka", "aiosmtplib", "alembic", "asyncio", "asyncpg", "concurrent", "ctypes", "fastapi", "glob", "http",
    "httpx", "io", "logging", "multiprocessing", "os", "pathlib", "random", "requests", "secrets", "select",
    "shutil", "signal", "smtplib", "socket", "sqlalchemy", "ssl", "starlette", "subprocess", "sys", "tempfile",
    "threading", "time", "urllib3", "uvicorn",
})
IMPURE_CALLS = frozenset({
    "__import__", "breakpoint", "eval", "exec", "hash", "id", "input", "open", "print",
})
IMPURE_ATTRIBUTES = frozenset({
    "environ", "getenv", "getrandom", "monotonic", "perf_counter", "read_bytes", "read_text", "token_bytes",
    "token_hex", "urandom", "urlopen", "uuid1", "uuid4", "write_bytes", "write_text",
})
# fmt: on
CLOCKS = frozenset({"now", "utcnow", "today"})  # of datetime's classes; a field may be called `now`


def pure_files(project: Path = PROJECT) -> list[Path]:
    """The files that must be pure: every service's domain, and the pure part of `shared`."""
    domains = [*project.glob("services/*/domain.py"), *project.glob("services/*/domain/**/*.py")]
    shared = [project / "shared" / f"{name}.py" for name in PURE_SHARED]
    return sorted([*domains, *(path for path in shared if path.exists())])


def impurities(source: str) -> list[str]:
    """What the source does that pure code must not, as `line: what`."""
    tree = ast.parse(source)
    return [f"{line}: {what}" for line, what in sorted([*_imports(tree), *_uses(tree)])]


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                if each.name.split(".")[0] in IMPURE_MODULES:
                    yield node.lineno, f"imports {each.name}"
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in IMPURE_MODULES:
                yield node.lineno, f"imports from {node.module}"
            for each in node.names:
                if each.name in IMPURE_ATTRIBUTES:
                    yield node.lineno, f"imports {each.name}"


def _uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    calendar = _names_of_datetime(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=name)) if name in CLOCKS:
                yield node.lineno, f"calls .{name}()"
            case ast.Attribute(value=value, attr=name) if name in CLOCKS and _root(value) in calendar:
                yield node.lineno, f"uses .{name}"
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                yield node.lineno, f"calls {name}()"
            case ast.Attribute(attr=name) if name in IMPURE_ATTRIBUTES:
                yield node.lineno, f"uses .{name}"
            case ast.AsyncFunctionDef(name=name):
                yield node.lineno, f"{name} is a coroutine, so it waits for something"
            case ast.Global(names=names):
                yield node.lineno, f"changes the module's {', '.join(names)}"


def _names_of_datetime(tree: ast.AST) -> set[str]:
    """What the module `datetime` and its classes are called here."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {each.asname or each.name for each in node.names if each.name == "datetime"}
        elif isinstance(node, ast.ImportFrom) and node.module == "datetime":
            names |= {each.asname or each.name for each in node.names}
    return names


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
