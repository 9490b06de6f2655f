
"use strict";
const about = JSON.parse(document.body.dataset.about);
/*TASK*/
const WORDS = {
  en: {
    text: "Text", text_a: "Text", text_b: "Second text", submit: "Predict", busy: "Working …", seconds: "{} ms",
    docs: "Interface", metrics: "Metrics", other: "中文", lost: "The server cannot be reached.",
  },
  zh: {
    text: "文本", text_a: "文本", text_b: "第二段文本", submit: "预测", busy: "处理中……", seconds: "{} 毫秒",
    docs: "接口文档", metrics: "指标", other: "English", lost: "无法连接服务器。",
  },
};
let language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
let show = () => {};
const at = (id) => document.getElementById(id);
const word = (key) => TASK.words[language][key] ?? WORDS[language][key] ?? key;

// text is always set as text, so that no input is taken for HTML
function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function makeFields() {
  for (const name of about.fields) {
    const label = make("label");
    label.htmlFor = label.dataset.word = name;
    const input = make(name === "question" ? "input" : "textarea");
    input.id = input.name = name;
    input.value = about.example[name];
    input.required = true;
    at("fields").append(label, input);
  }
}

function translate() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = at("title").textContent = `${about.name} · ${TASK.words[language].title ?? about.task}`;
  at("language").textContent = word("other");
  at("language").lang = language === "zh" ? "en" : "zh-CN";
  for (const label of document.querySelectorAll("label")) label.textContent = word(label.dataset.word);
  for (const id of ["submit", "docs", "metrics"]) at(id).textContent = word(id);
  show();
}

function bar(name, share, chosen = false, shown = `${(100 * share).toFixed(1)} %`) {
  const row = make("div", undefined, chosen ? "bar chosen" : "bar"), meter = make("meter");
  meter.value = share;
  meter.setAttribute("aria-label", `${name}: ${shown}`);
  row.append(make("span", name), meter, make("span", shown));
  return row;
}

// places are counted in code points, as Array.from cuts a string; spans are apart or inside each other, the outer ones first
function marked(text, spans) {
  const letters = Array.from(text), paragraph = make("p", undefined, "marked");
  fill(paragraph, letters, 0, letters.length, [...spans]);
  return paragraph;
}

function fill(parent, letters, start, end, spans) {
  while (spans.length && spans[0].start < end) {
    const span = spans.shift(), mark = make("mark", undefined, span.className);
    parent.append(letters.slice(start, span.start).join(""), mark);
    fill(mark, letters, span.start, span.end, spans);
    if (span.label) mark.append(make("small", span.label));
    start = span.end;
  }
  parent.append(letters.slice(start, end).join(""));
}

function showError(message) {
  at("result").hidden = true;
  at("error").hidden = false;
  at("error").textContent = message();
}

async function predict(event) {
  event.preventDefault();
  if (at("submit").disabled) return;  // Ctrl+Enter comes here too
  const instance = Object.fromEntries(about.fields.map((name) => [name, at(name).value]));
  const started = performance.now();
  at("submit").disabled = true;
  at("error").hidden = true;
  at("time").textContent = word("busy");
  try {
    const url = `/v1/models/${about.name}:predict`;
    const answer = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ instances: [instance] }) });
    const body = await answer.json(), milliseconds = Math.round(performance.now() - started);
    if (!answer.ok) throw new RangeError(body.error);
    show = () => {
      at("result").replaceChildren(...TASK.show(body.predictions[0], instance));
      at("result").hidden = false;
      at("time").textContent = word("seconds").replace("{}", milliseconds);
    };
  } catch (error) {
    at("time").textContent = "";
    show = () => showError(() => (error instanceof RangeError ? error.message : word("lost")));
  }
  at("submit").disabled = false;
  show();
}

makeFields();
translate();
at("form").addEventListener("submit", predict);
at("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  translate();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("form").requestSubmit();
});
