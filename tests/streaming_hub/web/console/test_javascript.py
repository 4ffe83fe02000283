"""What is sent of the console's modules is shorter, and does the same."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from streaming_hub import resources
from streaming_hub.web.console.compact import compact
from streaming_hub.web.console.javascript import shrink
from tests.packages.node import PACKAGE, install, node

MODULES = sorted([*resources.console("static").rglob("*.js"), *resources.js_client().glob("*.js")])
STYLES = sorted(resources.console("static").rglob("*.css"))
HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("source", "sent"),
    [
        ("// Why.\nb(c, d);\n", "b(c,d);"),
        ("a = b + +c - -d;", "a=b+ +c- -d;"),
        ("a = b++ + c; d = e / /f/.g;", "a=b++ +c;d=e/ /f/.g;"),
        ("return_(typeof a, void b, c in d, e instanceof f);", "return_(typeof a,void b,c in d,e instanceof f);"),
        # Strings, templates and regular expressions stay as they are.
        ("a = 'b  = // c';", "a='b  = // c';"),
        ("a = `b  = ${ c ? `: ${ d }  // e` : '' }  f`;", "a=`b  = ${c?`: ${d}  // e`:''}  f`;"),
        ("a = `b\n  c`;", "a=`b\n  c`;"),
        ("a = /b , [/] \\/ c/gu.test(d);", "a=/b , [/] \\/ c/gu.test(d);"),
        # A line break that ends a statement stays.
        ("a = b\nc()\n(d)", "a=b\nc()\n(d)"),
        ("a = {}\nb", "a={}\nb"),
        ("if (a) {\n  b();\n}\nc();", "if(a){b()}c();"),
        ("for (;;);", "for(;;);"),
        ("while (a);\nif (b) {\n  c;\n}", "while(a);if(b){c}"),
        # Names that only the module knows become short.
        ("const one = 1; const two = one + one; b(two, two);", "let a=1,c=a+a;b(c,c);"),
        ("export const one = 1; b(one);", "export let one=1;b(one);"),
        ("export function one(first) { return first + first; }", "export function one(a){return a+a}"),
        ("export class One { #two = 1; two() { return this.#two; } }", "export class One{#a=1;two(){return this.#a}}"),
        ("import { one as two } from 'b'; two(two);", "import{one as a}from'b';a(a);"),
        ("import { one as two } from 'b'; const one = 1; c(two, two, one, one);",
         "import{one as a}from'b';let b=1;c(a,a,b,b);"),
        ("import { one } from 'b'; one(one(one(one)));", "import{one as a}from'b';a(a(a(a)));"),
        ("import { one } from 'b'; one();", "import{one}from'b';one();"),
        ("f = (first) => ({ first, b: first.first, [first]: first });", "f=a=>({first:a,b:a.first,[a]:a});"),
        ("const f = ({ first, b: { second = 2 } = {} }) => first + first + first + second + second + second;",
         "let f=({first:a,b:{second:b=2}={}})=>a+a+a+b+b+b;"),
        ("f = async (one) => { const two = await one; return two; };", "f=async a=>{let b=await a;return b};"),
        ("const f = async(...some) => some;", "let f=async(...a)=>a;"),
        ("try { b(); } catch (error) { c(error, error); }", "try{b()}catch(a){c(a,a)}"),
        ("for (const one of b) c(one, one);", "for(let a of b)c(a,a);"),
        ("const a = 1;\n// b\nlet [c] = d;\nexport const e = 1;\nlet f;", "let a=1,[c]=d;export let e=1;let f;"),
        ("export const a = 1;\nexport const e = 2, f = 3;", "export let a=1,e=2,f=3;"),
        ("a = [1_000, 0.5, 10.5, 0x1_0, 1e3, 0];", "a=[1000,.5,10.5,0x10,1e3,0];"),
        ("for (let a = 1; a;) b(); let c = 1;", "for(let a=1;a;)b();let c=1;"),
        # What is not declared here belongs to the browser, whatever else has its name.
        ("const f = (name) => name; b(name);", "let f=name=>name;b(name);"),
        ("{ const event = 1; b(event); } b(event);", "{let event=1;b(event)}b(event);"),
        ("const a1 = 1; b(a1, a1, a); c(a1);", "let d=1;b(d,d,a);c(d);"),
        ("const one = true; b(one, false, undefined);", "let a=!0;b(a,!1,void 0);"),
        ("outer: for (const one of b) { continue outer; }", "outer:for(let a of b){continue outer}"),
    ],
)  # fmt: skip
def test_a_module_is_shorter_and_the_same(source: str, sent: str) -> None:
    assert shrink(source) == f"{sent}\n"


def test_what_cannot_be_read_stays_as_it_is() -> None:
    assert shrink("const a = ;  // b\n") == "const a = ;  // b\n"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_every_module_can_be_read(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(shrink(source)) < len(source)


@pytest.mark.npm
@pytest.mark.timeout(300)
def test_what_is_sent_means_the_same() -> None:
    """esbuild, which understands both, makes the same of it as of the sources."""
    install()
    files = []
    for path in [*MODULES, *STYLES]:
        source, kind = path.read_text(encoding="utf-8"), path.suffix
        sent = shrink(source, join=False) if kind == ".js" else compact(source, kind)
        files.append([path.name, kind[1:], _comparable(source), _comparable(sent)])
    ran = subprocess.run(
        [node(), str(HERE / "js" / "compare.js"), str(PACKAGE)],
        input=json.dumps(files),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, "[]", "")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_declarations_are_joined_and_nothing_else(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    apart, joined = shrink(source, join=False), shrink(source)
    parts = re.split(r";(?:export )?let ?(?=[\w$[{])", apart)
    # Each place where one ended and the next one began is either as it was, or a comma.
    assert re.fullmatch(r"(?:,|;(?:export )?let ?)".join(map(re.escape, parts)), joined)
    assert joined == apart or len(joined) < len(apart)


def _comparable(source: str) -> str:
    """Leave out the differences that are meant: `let` for `const`, and spaces in custom properties."""
    source = re.sub(r"\bconst\b", "let", source)
    return re.sub(r"--[\w-]+:[^;}]*", lambda found: re.sub(r"([,:])\s+", r"\1", found[0]), source)
