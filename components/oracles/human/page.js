"use strict";
(() => {
  const element = (id) => document.getElementById(id);
  const { export: exported, questions } = JSON.parse(element("data").textContent);
  const WORDS = ["a", "b", "tie", "skip"];
  const KEYS = { ArrowLeft: "a", ArrowRight: "b", ArrowDown: "tie", s: "skip", S: "skip" };
  let name = "";
  let mine = []; // the questions for this annotator
  let answers = []; // [comparison, verdict], in the order given: those of the first questions
  let saved = true;

  const place = () => `nashflow ${exported} ${name}`;

  function kept() {
    try {
      const known = JSON.parse(localStorage.getItem(place())) || [];
      const fits = ([comparison, word], at) => mine[at] && mine[at].comparison === comparison && WORDS.includes(word);
      return known.every(fits) ? known : [];
    } catch {
      return []; // no storage here, as in some browsers for local files: the file that is saved has everything
    }
  }

  function keep() {
    try {
      localStorage.setItem(place(), JSON.stringify(answers));
    } catch {
      return;
    }
  }

  function begin() {
    name = element("name").value.trim();
    if (!name) return;
    mine = questions.filter((question) => !question.judged_by.includes(name));
    answers = kept();
    saved = answers.length === 0;
    element("name").disabled = true;
    element("begin").hidden = true;
    element("tools").hidden = false;
    show();
  }

  function text(parent, className, content) {
    const made = document.createElement("div");
    made.className = className;
    made.textContent = content;
    parent.appendChild(made);
    return made;
  }

  function show() {
    const question = mine[answers.length];
    element("progress").textContent = `${answers.length} of ${mine.length}`;
    element("saved").textContent = "";
    element("undo").disabled = answers.length === 0;
    element("save").disabled = answers.length === 0;
    element("question").hidden = !question;
    element("done").hidden = Boolean(question);
    if (!question) return;
    element("instructions").textContent = question.instructions;
    element("a").textContent = question.a;
    element("b").textContent = question.b;
    element("dialogue").replaceChildren();
    for (const message of question.messages) {
      const turn = text(element("dialogue"), "turn", "");
      text(turn, "role", message.role);
      text(turn, "text", message.content);
    }
  }

  function choose(word) {
    if (!name || answers.length >= mine.length) return;
    answers.push([mine[answers.length].comparison, word]);
    saved = false;
    keep();
    show();
  }

  function undo() {
    if (!answers.length) return;
    answers.pop();
    saved = false;
    keep();
    show();
  }

  function save() {
    if (!answers.length) return;
    const line = ([comparison, verdict]) => JSON.stringify({ export: exported, comparison, annotator: name, verdict });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([answers.map((answer) => `${line(answer)}\n`).join("")]));
    link.download = `verdicts-${exported}-${name.replace(/[^\w-]+/g, "_")}.jsonl`;
    link.click();
    saved = true;
    element("saved").textContent = `saved as ${link.download}`;
  }

  function press(event) {
    if (!name) {
      if (event.key === "Enter") begin();
      return;
    }
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
    else if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    else if (event.key === "Backspace") undo();
    else if (event.key in KEYS) choose(KEYS[event.key]);
    else return;
    event.preventDefault();
  }

  element("begin").addEventListener("click", begin);
  element("undo").addEventListener("click", undo);
  element("save").addEventListener("click", save);
  for (const word of WORDS) element(`choose-${word}`).addEventListener("click", () => choose(word));
  document.addEventListener("keydown", press);
  window.addEventListener("beforeunload", (event) => {
    if (!saved) event.preventDefault();
  });
})();
