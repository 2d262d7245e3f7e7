"""Write docs/api.md, the reference of the lab's public names, from their docstrings.

python -m docs.make_api
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import lab
from docs.import_graph import modules
from lab.api import results

PAGE = Path(__file__).with_name("api.md")
HEAD = """# The public names

`from lab import ...`: these names, and what they offer; what the functions return is described here too. Everything
else in the package is internal and may change. `docs/own-scenario.md` teaches how to write a scenario. This page is
written by `python -m docs.make_api` from the docstrings.
"""

RESULTS = [
    "BenchResult",
    "CheckResult",
    "ExploreResult",
    "LocksResult",
    "RaceResult",
    "ReplayResult",
    "Result",
    "WithCases",
]
"""What the functions return; nobody needs to import these."""

Definition = ast.ClassDef | ast.FunctionDef
Entry = tuple[str, str, str]
"""A name with the class that it is of, the line that declares it, and its text."""


def reference() -> list[Entry]:
    """Return an entry for each public name and, behind a class, for each of its public members."""
    return [entry for name in sorted([*lab.__all__, *RESULTS], key=str.lower) for entry in _entries(name)]


def page() -> str:
    """Return the page as Markdown."""
    parts = [HEAD]
    for name, declared, text in reference():
        level = "###" if "." in name else "##"
        parts.append(f"{level} `{name}`\n")
        if declared:
            parts.append(f"```python\n{declared}\n```\n")
        if text:
            parts.append(f"{text}\n")
    return "\n".join(parts)


def _entries(name: str) -> Iterator[Entry]:
    value = getattr(lab, name, None) or getattr(results, name)
    if not callable(value):
        yield _constant(name)
        return
    (definition,) = ast.parse(dedent(inspect.getsource(value))).body
    if not isinstance(definition, Definition):
        raise TypeError(f"{name} is neither a class nor a function")
    if isinstance(definition, ast.FunctionDef):  # of a session, which the user does not see
        definition.args.args = [each for each in definition.args.args if each.arg != "self"]
    yield name, _declared(definition), _text(definition)
    if isinstance(definition, ast.ClassDef):
        yield from _members(name, definition)


def _members(name: str, definition: ast.ClassDef) -> Iterator[Entry]:
    for node, following in zip(definition.body, [*definition.body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield f"{name}.{node.name}", _declared(node), _text(node)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            text = _string(following)
            if text:  # the fields of a record are told by the docstring of its class
                yield f"{name}.{node.target.id}", ast.unparse(node), text


def _constant(name: str) -> Entry:
    """Find where it is assigned: the string behind that is its text."""
    for path in modules().values():
        body = ast.parse(path.read_text()).body
        for node, following in pairwise(body):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
                return name, ast.unparse(node), _string(following)
    raise LookupError(name)


def _declared(node: Definition) -> str:
    """Return the line that declares it; a record shows its fields, and another class nothing but its name and bases."""
    if isinstance(node, ast.FunctionDef):
        kind = "@property\n" * any(ast.unparse(each) == "property" for each in node.decorator_list)
        return f"{kind}def {node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns or ast.Constant(None))}"
    if any("dataclass" in ast.unparse(each) for each in node.decorator_list):
        fields = [ast.unparse(each) for each in node.body if isinstance(each, ast.AnnAssign)]
        return f"{node.name}({', '.join(fields)})"
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    return f"class {node.name}({bases})" if bases else f"class {node.name}"


def _text(node: Definition) -> str:
    return ast.get_docstring(node) or ""


def _string(node: ast.stmt | None) -> str:
    """Return the text of a statement that is nothing but a string."""
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return inspect.cleandoc(node.value.value) if is_text else ""  # type: ignore[union-attr]


if __name__ == "__main__":
    PAGE.write_text(page())
