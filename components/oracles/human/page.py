"""The page on which a person compares answers: one file without network, that shows texts as nothing but texts."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any


def page(export: str, questions: Sequence[Mapping[str, Any]]) -> str:
    """The HTML of an export, of this id: `questions` are the lines of its JSON lines."""
    script = files(__package__).joinpath("page.js").read_text()
    data = json.dumps({"export": export, "questions": list(questions)}, ensure_ascii=False)
    # Nothing in a JSON text needs these characters, and without them it cannot leave its element.
    for character in "<>&\u2028\u2029":
        data = data.replace(character, f"\\u{ord(character):04x}")
    return _PAGE.format(policy=_policy(script), style=_STYLE, script=script, data=data)


def _policy(script: str) -> str:
    """Only this script and this style, and no network."""
    script, style = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, _STYLE))
    return f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'"


_STYLE = """
  body { font: 16px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 80rem; margin: 1rem auto; padding: 0 1rem }
  header, footer { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: baseline; color: #59636e }
  #instructions { font-weight: 600; white-space: pre-wrap }
  .text { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0 }
  .turn { background: #f6f8fa; border-radius: .4rem; padding: .5rem .8rem; margin: .5rem 0 }
  .role { color: #59636e; font-size: .85rem }
  #answers { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; margin: 1rem 0 }
  .answer { border: 1px solid #d0d7de; border-radius: .4rem; padding: .6rem .9rem }
  button { font: inherit; padding: .4rem .9rem } kbd { font: inherit; color: #59636e }
  @media (max-width: 48rem) { #answers { grid-template-columns: 1fr } }
  [hidden] { display: none !important }
"""

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>Which answer is better?</title>
<style>{style}</style>
</head>
<body>
<header>
  <label>Your name <input id="name" autofocus></label>
  <button id="begin">Begin <kbd>Enter</kbd></button>
  <span id="progress" role="status"></span>
</header>
<main id="question" hidden>
  <p id="instructions"></p>
  <section id="dialogue" aria-label="Dialogue"></section>
  <section id="answers">
    <article class="answer"><div class="role">Answer A</div><p id="a" class="text"></p></article>
    <article class="answer"><div class="role">Answer B</div><p id="b" class="text"></p></article>
  </section>
  <p>
    <button id="choose-a">A is better <kbd>←</kbd></button>
    <button id="choose-b">B is better <kbd>→</kbd></button>
    <button id="choose-tie">Equally good <kbd>↓</kbd></button>
    <button id="choose-skip">Cannot tell <kbd>S</kbd></button>
  </p>
</main>
<p id="done" hidden>There is nothing left to compare. Save the file, and hand it in.</p>
<footer id="tools" hidden>
  <button id="undo">Undo <kbd>Backspace</kbd></button>
  <button id="save">Save the verdicts to a file <kbd>Ctrl+Enter</kbd></button>
  <span id="saved" role="status"></span>
</footer>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""
