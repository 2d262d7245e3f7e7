"""Read the import graph of lab/ from its source, and the layers from pyproject.toml; nothing is imported or run."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
Graph = dict[str, set[str]]


def modules() -> dict[str, Path]:
    """Return every module of lab/ by its dotted name, a package by the name of its folder."""
    found = {}
    for path in sorted((ROOT / "lab").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def import_graph(*, top_level: bool = False) -> Graph:
    """Return which modules of lab/ each imports while the program runs; `top_level`: while it is itself imported.

    With a module Python first imports the packages that it is in: at the top level these count too, but not those that
    both modules are in, whose import has begun already.
    """
    known = modules()
    graph = {name: _imported(name, path, known, top_level=top_level) - {name} for name, path in known.items()}
    if top_level:
        for name, others in graph.items():
            others |= {up for other in others for up in _packages(other)} - _packages(name) - {name}
    return graph


def _packages(module: str) -> set[str]:
    parts = module.split(".")
    return {".".join(parts[:depth]) for depth in range(1, len(parts))}


def layers() -> list[list[str]]:
    """Return the layers that pyproject.toml declares, the lowest first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    return [[name.strip() for name in layer.replace("|", ":").split(":")] for layer in reversed(declared)]


def package_of(module: str) -> str:
    """Return the layer's package that the module is in; empty for lab itself."""
    return module.split(".")[1] if "." in module else ""


def package_graph() -> Graph:
    """Return which packages of the layers each imports."""
    graph: Graph = {name: set() for layer in layers() for name in layer}
    for module, imported in import_graph().items():
        if package_of(module) in graph:
            graph[package_of(module)] |= {package_of(other) for other in imported} - {package_of(module), ""}
    return graph


def circles(graph: Graph) -> list[list[str]]:
    """Return the sets of modules that import each other in a circle (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph.get(name, ())):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            component = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(component) > 1:
                found.append(sorted(component))

    for name in graph:
        if name not in index:
            visit(name)
    return found


def _imported(name: str, path: Path, known: dict[str, Path], *, top_level: bool) -> set[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in _statements(ast.parse(path.read_text()), top_level=top_level):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {each if each in known else base for each in names}
    return {each for each in found if each in known}


def _statements(tree: ast.AST, *, top_level: bool) -> Iterator[ast.AST]:
    """Yield what runs: not what is for type checkers alone, and at the top level nothing inside a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if top_level and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        yield node
        yield from _statements(node, top_level=top_level)
