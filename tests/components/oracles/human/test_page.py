"""The page on which people compare answers: its structure, and its script under node with a DOM as small as can be."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from typing import Any

import pytest

from nashflow.components.oracles.human.comparison import Shown
from nashflow.components.oracles.human.export import Question, files

NASTY = "</script><script>alert(1)</script><!-- <b onload=x>'\"\u2028&amp;"
DIALOGUE = [{"role": "user", "content": NASTY}, {"role": "assistant", "content": "hm"}]


def question(number: int, *judged_by: str) -> Question:
    shown = Shown(f"Which? {NASTY}", DIALOGUE, f"{number} {NASTY}", f"{number} other")
    return Question(shown, 2, judged_by)


QUESTIONS = [question(0), question(1, "bob"), question(2)]


class _Elements(HTMLParser):
    """The elements of a page: name, attributes, text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}", {}, ""))

    def handle_data(self, data: str) -> None:
        if self.found:
            tag, attributes, text = self.found[-1]
            self.found[-1] = tag, attributes, text + data

    def of(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attributes, text) for name, attributes, text in self.found if name == tag]


@pytest.fixture(scope="module")
def html() -> str:
    return files(QUESTIONS)[1].decode()


def test_texts_stay_in_their_element(html: str) -> None:
    elements = _Elements(html)
    (data, text), (script, code) = elements.of("script")
    assert (data["type"], script) == ("application/json", {})
    assert json.loads(text)["questions"] == [each.to_json() for each in QUESTIONS]
    assert not re.search("[<>&\u2028]", text)
    assert "alert" not in html.replace(text, "")
    assert "innerHTML" not in code


def test_nothing_is_loaded_and_only_the_pages_own_script_runs(html: str) -> None:
    elements = _Elements(html)
    policy = next(meta["content"] for meta, _ in elements.of("meta") if "http-equiv" in meta)
    code = elements.of("script")[1][1]
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    style = base64.b64encode(hashlib.sha256(elements.of("style")[0][1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'sha256-{style}'"
    assert not [attributes for _, attributes, _ in elements.found if {"src", "href", "style"} & attributes.keys()]


def test_the_json_lines_say_what_the_page_shows(html: str) -> None:
    lines, _, digest = files(QUESTIONS)
    rows = [json.loads(line) for line in lines.decode().split("\n") if line]
    assert rows == [each.to_json() for each in QUESTIONS]
    assert [Question.from_json(row) for row in rows] == QUESTIONS
    assert f'"export": "{digest}"' in html


# --- the script ------------------------------------------------------------------------------------------------------

_DOM = """
const made = {}, listeners = {}, store = STORE;
const make = () => ({ textContent: "", hidden: false, disabled: false, value: "", children: [], on: {},
  addEventListener(kind, act) { this.on[kind] = act; }, appendChild(child) { this.children.push(child); },
  replaceChildren() { this.children = []; }, click() { if (this.on.click) this.on.click(); else saved(this); } });
const files = [];
const saved = (link) => files.push({ name: link.download, text: link.href });
globalThis.document = { getElementById: (id) => (made[id] ??= make()), createElement: make,
  addEventListener: (kind, act) => { listeners[kind] = act; } };
globalThis.window = { addEventListener: (kind, act) => { listeners[kind] = act; } };
globalThis.localStorage = { getItem: (key) => store[key] ?? null, setItem: (key, value) => { store[key] = value; } };
globalThis.Blob = class { constructor(parts) { this.text = parts.join(""); } };
globalThis.URL = { createObjectURL: (blob) => blob.text };
document.getElementById("data").textContent = DATA;
SCRIPT
const press = (key, more) => listeners.keydown({ key, preventDefault() {}, ...more });
const leave = () => { let kept = false; listeners.beforeunload({ preventDefault() { kept = true; } }); return kept; };
const seen = () => ({ progress: made.progress.textContent, a: made.a && made.a.textContent,
  done: made.done && !made.done.hidden, leaving: leave() });
const log = [];
ACTIONS
console.log(JSON.stringify({ log, files, store }));
"""


def played(html: str, actions: str, store: dict[str, str] | None = None) -> dict[str, Any]:
    """What comes of actions on the page: what it shows, the files that it saves, what the browser keeps."""
    if not (node := shutil.which("node")):
        pytest.skip("node, which runs the page's script, is not installed")
    (_, data), (_, script) = _Elements(html).of("script")
    code = _DOM.replace("STORE", json.dumps(store or {})).replace("DATA", json.dumps(data))
    code = code.replace("SCRIPT", script).replace("ACTIONS", actions)
    done = subprocess.run([node, "-"], input=code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def begin(name: str) -> str:
    return f"document.getElementById('name').value = {json.dumps(name)}; press('Enter');"


def test_a_person_works_through_it_with_the_keyboard(html: str) -> None:
    actions = """
        press('ArrowLeft'); log.push(made.question?.hidden);
        BEGIN
        log.push(seen());
        press('ArrowLeft'); press('Tab'); press('ArrowRight', { repeat: true }); press('s', { ctrlKey: true });
        log.push(seen());
        press('ArrowDown'); press('Backspace'); press('s'); log.push(seen());
        press('ArrowRight'); log.push(seen());
        press('ArrowRight');
        press('Enter', { ctrlKey: true }); log.push(seen());
    """
    found = played(html, actions.replace("BEGIN", begin(" Ann O'Nym ")))
    digest = files(QUESTIONS)[2]
    first, one, two, three, end = found["log"][1:]
    assert first == {"progress": "0 of 3", "a": QUESTIONS[0].shown.a, "done": False, "leaving": False}
    assert one == {"progress": "1 of 3", "a": QUESTIONS[1].shown.a, "done": False, "leaving": True}
    assert (two["progress"], three["progress"], three["done"], three["leaving"]) == ("2 of 3", "3 of 3", True, True)
    assert end["leaving"] is False
    (file,) = found["files"]
    assert file["name"] == f"verdicts-{digest}-Ann_O_Nym.jsonl"
    assert [json.loads(line) for line in file["text"].splitlines()] == [
        {"export": digest, "comparison": each.shown.id, "annotator": "Ann O'Nym", "verdict": word}
        for each, word in zip(QUESTIONS, ("a", "skip", "b"), strict=True)
    ]


def test_what_an_annotator_has_judged_is_not_shown_again(html: str) -> None:
    found = played(html, begin("bob") + "log.push(seen()); made['choose-b'].click(); log.push(seen());")
    assert [each["progress"] for each in found["log"]] == ["0 of 2", "1 of 2"]
    assert found["log"][1]["a"] == QUESTIONS[2].shown.a


def test_work_is_kept_and_goes_on(html: str) -> None:
    kept = played(html, begin("ann") + "press('ArrowLeft'); press('ArrowRight');")["store"]
    again = played(html, begin("ann") + "log.push(seen()); made.undo.click(); log.push(seen());", kept)
    assert [each["progress"] for each in again["log"]] == ["2 of 3", "1 of 3"]
    assert played(html, begin("bob") + "log.push(seen());", kept)["log"][0]["progress"] == "0 of 2"


@pytest.mark.parametrize("damaged", ["no json", '[["x", "a"]]', "[1]", "{}"])
def test_damaged_memory_is_forgotten(damaged: str, html: str) -> None:
    key = f"nashflow {files(QUESTIONS)[2]} ann"
    assert played(html, begin("ann") + "log.push(seen());", {key: damaged})["log"][0]["progress"] == "0 of 3"


def test_it_works_without_a_memory(html: str) -> None:
    broken = "localStorage.getItem = localStorage.setItem = () => { throw new Error('denied'); };"
    found = played(html, broken + begin("ann") + "press('ArrowLeft'); log.push(seen());")
    assert found["log"][0]["progress"] == "1 of 3"
