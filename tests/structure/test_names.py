"""One meaning a type name: no two modules of the package define a type of the same name."""

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "dnsd"


def types_in(module: Path) -> set[str]:
    """The classes, and the aliases of types, which are assigned capitalised names."""
    tree = ast.parse(module.read_text())
    classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return classes | {name for name in assigned if name[0].isupper() and not name.isupper()}


def test_a_type_name_has_one_meaning() -> None:
    where = defaultdict(list)
    for module in sorted(PACKAGE.rglob("*.py")):
        for name in types_in(module):
            where[name].append(str(module.relative_to(PACKAGE)))
    assert {name: modules for name, modules in where.items() if len(modules) > 1} == {}
