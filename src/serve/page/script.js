
"use strict";
const about = JSON.parse(document.body.dataset.about);
const WORDS = {
  en: {
    text: "Text", text_a: "Text", text_b: "Second text", question: "Question", context: "Passage", submit: "Predict", busy: "Working …",
    none: "No entities found.", answer: "Answer", noAnswer: "The passage holds no answer.", others: "Next best", score: "Score", seconds: "{} ms",
    docs: "Interface", metrics: "Metrics", other: "中文", lost: "The server cannot be reached.", entities: "Entities", empty: "(no answer)",
    classifier: "classification", ner: "named entities", squad: "answers from a passage",
  },
  zh: {
    text: "文本", text_a: "文本", text_b: "第二段文本", question: "问题", context: "段落", submit: "预测", busy: "处理中……",
    none: "没有找到实体。", answer: "答案", noAnswer: "段落中没有答案。", others: "其他候选", score: "分数", seconds: "{} 毫秒",
    docs: "接口文档", metrics: "指标", other: "English", lost: "无法连接服务器。", entities: "实体", empty: "（无答案）",
    classifier: "文本分类", ner: "命名实体识别", squad: "阅读理解",
  },
};
let language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
let show = () => {};
const at = (id) => document.getElementById(id);
const word = (key) => WORDS[language][key];

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
  document.title = at("title").textContent = `${about.name} · ${word(about.task)}`;
  at("language").textContent = word("other");
  at("language").lang = language === "zh" ? "en" : "zh-CN";
  for (const label of document.querySelectorAll("label")) label.textContent = word(label.dataset.word);
  for (const id of ["submit", "docs", "metrics"]) at(id).textContent = word(id);
  show();
}

function bar(name, probability) {
  const row = make("div", undefined, "bar"), meter = make("meter"), percent = `${(100 * probability).toFixed(1)} %`;
  meter.value = probability;
  meter.setAttribute("aria-label", `${name}: ${percent}`);
  row.append(make("span", name), meter, make("span", percent));
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

// lists of spans that `marked` can show; of two that cross, the later one is in another list
function layers(spans) {
  const found = [];
  for (const span of spans.sort((a, b) => a.start - b.start || b.end - a.end)) {
    const layer = found.find((others) => others.every((other) => other.end <= span.start || span.end <= other.end));
    if (layer) layer.push(span); else found.push([span]);
  }
  return found;
}

function classResult(prediction) {
  if ("score" in prediction) return [make("h2", word("score")), make("p", prediction.score.toFixed(4))];
  return [make("h2", prediction.label), ...Object.entries(prediction.probabilities).sort((a, b) => b[1] - a[1]).map(([name, p]) => bar(name, p))];
}

function entityResult(prediction) {
  if (!prediction.entities.length) return [make("p", word("none"))];
  const kinds = [...new Set(prediction.entities.map((entity) => entity.type))].sort();
  const spans = prediction.entities.map((entity) => ({ ...entity, label: entity.type, className: `kind${kinds.indexOf(entity.type) % 8}` }));
  return [make("h2", word("entities")), ...layers(spans).map((layer) => marked(prediction.text, layer))];
}

function answerResult(prediction, instance) {
  const found = prediction.start !== null, others = prediction.n_best.filter((span) => span.start !== prediction.start || span.end !== prediction.end);
  const parts = [make("h2", word("answer")), bar(found ? prediction.answer : word("noAnswer"), prediction.probability)];
  parts.push(marked(instance.context, found ? [prediction] : []));
  if (others.length) parts.push(make("h2", word("others")), ...others.slice(0, 4).map((span) => bar(span.text || word("empty"), span.probability)));
  return parts;
}

const RESULTS = { classifier: classResult, ner: entityResult, squad: answerResult };

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
      at("result").replaceChildren(...RESULTS[about.task](body.predictions[0], instance));
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
