"""Shortens JavaScript modules for sending: short local names, no comments, no unneeded space. Pure.

tree-sitter parses, so templates, regular expressions and strings are recognised exactly. The rest is written by hand:
the small minifiers for Python break nested templates, and the others need Node or have no wheels for macOS. A test
compares the result with the sources, by esbuild.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import count, product
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node, Parser

_WHOLE: Final = frozenset({"string", "regex", "number"})
"""Nodes that are copied unchanged."""
_SCOPES: Final = frozenset(
    {
        "program",
        "statement_block",
        "function_declaration",
        "function_expression",
        "arrow_function",
        "method_definition",
        "generator_function_declaration",
        "class_declaration",
        "class",
        "for_statement",
        "for_in_statement",
        "catch_clause",
        "switch_body",
    }
)
_DECLARING: Final = {
    "variable_declarator": "name",
    "catch_clause": "parameter",
    "arrow_function": "parameter",
    "for_in_statement": "left",
    "namespace_import": None,
    "import_clause": None,
    "formal_parameters": None,
}
"""Node -> the field that holds what it declares; None for all of its children."""
_NAMED: Final = frozenset({"function_declaration", "class_declaration", "generator_function_declaration"})
_PATTERNS: Final = frozenset(
    {
        "array_pattern",
        "object_pattern",
        "rest_pattern",
        "assignment_pattern",
        "object_assignment_pattern",
        "pair_pattern",
    }
)
_NAME: Final = frozenset(
    {"identifier", "shorthand_property_identifier", "shorthand_property_identifier_pattern"}
)
_SHORTHAND: Final = _NAME - {"identifier"}
_OPERATORS: Final = frozenset({"=>", "&&", "||", "??", "===", "!==", "<=", ">=", "+=", "-=", "?."})
_CONTINUED: Final = frozenset("{([,;:?+-*/<>=.") | _OPERATORS | {"..."}
"""Tokens after which a statement continues or has ended: the line break that follows means nothing."""
_CONTINUING: Final = frozenset("})],;:?*=.") | _OPERATORS
"""Tokens before which a line break means nothing."""
_BODIES: Final = frozenset(
    {
        "function_declaration",
        "method_definition",
        "class_declaration",
        "if_statement",
        "else_clause",
        "for_statement",
        "for_in_statement",
        "while_statement",
        "switch_statement",
        "try_statement",
        "catch_clause",
        "finally_clause",
    }
)
"""Nodes whose closing brace ends a statement."""
_SHORTER: Final = {"const": "let", "true": "!0", "false": "!1", "undefined": "void 0"}
_RESERVED: Final = frozenset({"as", "do", "if", "in", "of", "for", "let", "new", "try", "var", "get", "set"})


class _Token(NamedTuple):
    """A token of the output.

    Attributes:
        start, end: its bytes in the source.
        is_ending: whether it ends a statement, whatever follows.
        joint: whether it is between two declarations that may become one: the semicolon, and the second keyword.
    """

    text: str
    start: int
    end: int
    is_ending: bool = False
    joint: bool = False


def shrink(source: str, *, join: bool = True) -> str:
    """Return an equivalent, shorter module; the module itself if it cannot be parsed.

    Args:
        source: an ECMAScript module whose statements end with semicolons.
        join: whether to join consecutive declarations.
    """
    root = _parser().parse(source.encode()).root_node
    if root.has_error:
        return source
    tokens = list(_tokens(root, _short_names(root)))
    return _written(source.encode(), _joined(tokens) if join else tokens)


@cache
def _parser() -> Parser:
    # Imported on first use: a hub whose console is never opened does not need them.
    import tree_sitter  # noqa: PLC0415
    import tree_sitter_javascript  # noqa: PLC0415

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_javascript.language()))


def _text(node: Node) -> str:
    return (node.text or b"").decode()


# ------------------------------------------------------------------------------------------------ names


class _Uses(NamedTuple):
    """How often each name occurs in a module.

    Attributes:
        plain: as a variable, or as a private member.
        shorthand: as a variable and a property in one, as in `{ name }`.
        imported: names imported without an alias.
        kept: exported names, and globals.
    """

    plain: Counter[str]
    shorthand: Counter[str]
    imported: set[str]
    kept: set[str]


def _short_names(root: Node) -> dict[str, str]:
    """Return name -> shorter name, for names that are local to the module.

    A name is replaced wherever it is a variable, in every scope, by one that the module does not use otherwise. So
    shadowing stays as it was.
    """
    uses = _uses_in(root)
    names = set(uses.plain) | set(uses.shorthand) | uses.imported | uses.kept
    staying = names - set(uses.plain) | uses.kept | {name for name in names if len(name) == 1}
    publics, privates = _free_names(staying), _free_names(set())
    chosen: dict[str, str] = {}
    for name, times in uses.plain.most_common():
        if name.startswith("#"):
            chosen[name] = f"#{next(privates)}"
        elif name not in staying:
            short = next(publics)
            # `name` becomes `name:a` in an object, and `name as a` where it is imported.
            cost = uses.shorthand[name] * (len(short) + 1) + (name in uses.imported) * (len(short) + 4)
            if times * (len(name) - len(short)) > cost:
                chosen[name] = short
    staying |= names - set(chosen)
    return {name: short for name, short in chosen.items() if short not in staying}


def _uses_in(root: Node) -> _Uses:
    declared: dict[int, set[str]] = {}
    for node, scopes in _with_scopes(root):
        for name in _declared_by(node):
            # The name of a declared function belongs to the scope around it.
            place = scopes[-2] if node.type in _NAMED else scopes[-1]
            declared.setdefault(place, set()).add(name)
    uses = _Uses(Counter(), Counter(), set(), set())
    for node, scopes in _with_scopes(root):
        kind, name = node.type, _text(node) if node.child_count == 0 else ""
        if kind == "private_property_identifier":
            uses.plain[name] += 1
        elif kind in _NAME and not _is_foreign(node):
            _count(node, uses, is_known=any(name in declared.get(scope, ()) for scope in scopes))
    return uses


def _count(node: Node, uses: _Uses, *, is_known: bool) -> None:
    name, parent = _text(node), node.parent
    if not is_known or _is_exported(node):
        uses.kept.add(name)
    elif node.type in _SHORTHAND:
        uses.shorthand[name] += 1
    elif parent is not None and parent.type == "import_specifier" and parent.child_count == 1:
        uses.imported.add(name)
    else:
        uses.plain[name] += 1


def _free_names(taken: set[str]) -> Iterator[str]:
    for length in count(1):
        for first, *rest in product(ascii_letters, *[ascii_letters + digits] * (length - 1)):
            name = first + "".join(rest)
            if name not in taken and name not in _RESERVED:
                yield name


def _with_scopes(root: Node) -> Iterator[tuple[Node, tuple[int, ...]]]:
    """Yield each node with the scopes around it, the innermost last."""
    waiting: list[tuple[Node, tuple[int, ...]]] = [(root, ())]
    while waiting:
        node, outer = waiting.pop()
        scopes = (*outer, node.id) if node.type in _SCOPES else outer
        yield node, scopes
        if node.type not in _WHOLE:
            waiting.extend((child, scopes) for child in reversed(node.children))


def _declared_by(node: Node) -> Iterator[str]:
    kind = node.type
    if kind in _NAMED or kind in ("function_expression", "class"):
        name = node.child_by_field_name("name")
        if name is not None:
            yield _text(name)
    elif kind == "import_specifier":
        yield _text(node.child_by_field_name("alias") or node.children[0])
    elif kind in _DECLARING:
        field = _DECLARING[kind]
        found = node.named_children if field is None else node.children_by_field_name(field)
        if kind != "for_in_statement" or node.child_by_field_name("kind"):
            for one in found:
                yield from _names_in(one)


def _names_in(pattern: Node) -> Iterator[str]:
    kind = pattern.type
    if kind in ("identifier", "shorthand_property_identifier_pattern"):
        yield _text(pattern)
    elif kind in ("assignment_pattern", "object_assignment_pattern"):
        yield from _names_in(pattern.children[0])
    elif kind == "pair_pattern":
        yield from _names_in(pattern.children[-1])
    elif kind in _PATTERNS:
        for child in pattern.named_children:
            yield from _names_in(child)


def _is_foreign(node: Node) -> bool:
    """Return whether a name is another module's, as `a` in `import { a as b }`."""
    specifier = node.parent
    if specifier is None or specifier.type != "import_specifier":
        return False
    return specifier.child_by_field_name("alias") not in (None, node)


def _is_exported(node: Node) -> bool:
    """Return whether a name is declared by an export."""
    inner, outer = node, node.parent
    while outer is not None and outer.type in (
        *_PATTERNS,
        "lexical_declaration",
        "variable_declarator",
        *_NAMED,
    ):
        field = outer.child_by_field_name("name")
        if field is not None and field != inner:
            return False
        inner, outer = outer, outer.parent
    return outer is not None and outer.type in ("export_statement", "export_specifier")


# ------------------------------------------------------------------------------------------------ tokens


def _tokens(node: Node, names: dict[str, str]) -> Iterator[_Token]:
    kind = node.type
    if kind == "comment":
        return
    if kind == "template_string":
        yield from _template(node, names)
    elif kind in _WHOLE or not node.children:
        yield from _leaf(node, names)
    elif kind == "import_specifier" and node.child_count == 1:
        name = _text(node)
        yield _Token(f"{name} as {names[name]}" if name in names else name, node.start_byte, node.end_byte)
    else:
        for child in node.children:
            yield from _tokens(child, names)


def _template(node: Node, names: dict[str, str]) -> Iterator[_Token]:
    for child in node.children:
        if child.type == "template_substitution":
            yield from _tokens(child, names)
        else:
            yield _Token(_text(child), child.start_byte, child.end_byte)


def _leaf(node: Node, names: dict[str, str]) -> Iterator[_Token]:
    kind, text, parent = node.type, _text(node), node.parent
    outer = parent.type if parent is not None else ""
    if kind in _SHORTHAND and text in names:
        text = f"{text}:{names[text]}"
    elif kind in ("identifier", "private_property_identifier"):
        text = text if _is_foreign(node) else names.get(text, text)
    elif kind in ("(", ")") and outer == "formal_parameters" and _is_bare(parent):
        return
    else:
        text = _SHORTER.get(kind, text)
    is_block = kind == "}" and outer in ("statement_block", "class_body", "switch_body")
    ends = parent is not None and is_block and parent.parent is not None and parent.parent.type in _BODIES
    if kind == ";" and outer in ("empty_statement", "for_statement"):
        ends = True
    joint = False
    if kind in ("const", "let", ";"):
        joint = _is_joined(parent, to_next=kind == ";")
    elif kind == "export" and parent is not None:
        joint = _is_joined(parent.child_by_field_name("declaration"), to_next=False)
    elif kind == "number":
        text = text.replace("_", "").removeprefix("0") or "0" if "." in text else text.replace("_", "")
    yield _Token(text, node.start_byte, node.end_byte, ends, joint)


def _is_bare(parameters: Node | None) -> bool:
    """Return whether an arrow function's parameter needs no parentheses."""
    if parameters is None or parameters.parent is None or parameters.parent.type != "arrow_function":
        return False
    return [child.type for child in parameters.named_children] == ["identifier"]


def _is_joined(declaration: Node | None, *, to_next: bool) -> bool:
    """Return whether a declaration joins the next one, or the one before it: `let a=1,b=2;`."""
    if declaration is None or declaration.type != "lexical_declaration":
        return False
    is_exported = declaration.parent is not None and declaration.parent.type == "export_statement"
    one = declaration.parent if is_exported else declaration
    step = "next_named_sibling" if to_next else "prev_named_sibling"
    other: Node | None = getattr(one, step)
    while other is not None and other.type == "comment":
        other = getattr(other, step)
    if is_exported and other is not None and other.type == "export_statement":
        other = other.child_by_field_name("declaration")
    elif is_exported:
        return False
    if other is None or other.type != "lexical_declaration":
        return False
    return (declaration if to_next else other).children[-1].type == ";"


def _joined(tokens: list[_Token]) -> list[_Token]:
    return [
        token._replace(text=",") if token.joint else token
        for token in tokens
        if not token.joint or token.text == ";"
    ]


def _written(source: bytes, tokens: list[_Token]) -> str:
    parts: list[str] = []
    before = _Token(";", 0, 0)
    for index, token in enumerate(tokens):
        following = tokens[index + 1].text if index + 1 < len(tokens) else ""
        if token.text == ";" and following == "}" and not token.is_ending:
            continue
        parts.append(_gap(source[before.end : token.start], before, token))
        parts.append(token.text)
        before = token
    return "".join(parts) + "\n"


def _gap(between: bytes, before: _Token, after: _Token) -> str:
    if not between:
        return ""
    last, first = before.text[-1:], after.text[:1]
    if b"\n" in between and not (before.text in _CONTINUED or before.is_ending or after.text in _CONTINUING):
        return "\n"
    needs = (_is_word(last) and _is_word(first)) or (last == first and first in "+-/")
    return " " if needs else ""


def _is_word(character: str) -> bool:
    return character.isalnum() or character in "_$#\\" or character > "\x7f"
