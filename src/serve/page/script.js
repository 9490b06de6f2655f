
"use strict";
const about = JSON.parse(document.body.dataset.about);
const WORDS = {
  en: {
    text: "Text", text_a: "Text", text_b: "Second text", question: "Question", context: "Passage", submit: "Predict", busy: "Working …",
    none: "No entities found.", answer: "Answer", noAnswer: "The passage holds no answer.", others: "Next best", score: "Score", seconds: "{} ms",
    docs: "Interface", metrics: "Metrics", other: "中文", lost: "The server cannot be reached.", entities: "Entities", empty: "(no answer)",
    noLabel: "No label applies.", choices: "Choices, one a line",
    classifier: "classification", ner: "named entities", squad: "answers from a passage",
  },
  zh: {
    text: "文本", text_a: "文本", text_b: "第二段文本", question: "问题", context: "段落", submit: "预测", busy: "处理中……",
    none: "没有找到实体。", answer: "答案", noAnswer: "段落中没有答案。", others: "其他候选", score: "分数", seconds: "{} 毫秒",
    docs: "接口文档", metrics: "指标", other: "English", lost: "无法连接服务器。", entities: "实体", empty: "（无答案）",
    noLabel: "没有符合的标签。", choices: "选项，每行一个",
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

function bar(name, probability, chosen) {
  const row = make("div", undefined, chosen ? "bar chosen" : "bar"), meter = make("meter"), percent = `${(100 * probability).toFixed(1)} %`;
  meter.value = probability;
  meter.setAttribute("aria-label", `${name}: ${percent}`);
  row.append(make("span", name), meter, make("span", percent));
  return row;
}

// places are counted in code points, as Array.from cuts a string
function marked(text, spans) {
  const letters = Array.from(text), paragraph = make("p", undefined, "marked");
  let done = 0;
  for (const span of spans) {
    paragraph.append(letters.slice(done, span.start).join(""));
    const mark = make("mark", letters.slice(span.start, span.end).join(""), span.className);
    if (span.label) mark.append(make("small", span.label));
    paragraph.append(mark);
    done = span.end;
  }
  paragraph.append(letters.slice(done).join(""));
  return paragraph;
}

function classResult(prediction, instance) {
  if ("choice" in prediction) {
    const lines = instance.choices.split("\n").map((line) => line.trim()).filter(Boolean);
    return [make("h2", prediction.text), ...lines.map((line, number) => bar(line, prediction.probabilities[number], number === prediction.choice))];
  }
  if ("score" in prediction) return [make("h2", word("score")), make("p", prediction.score.toFixed(4))];
  const chosen = prediction.labels || [prediction.label];
  const bars = Object.entries(prediction.probabilities).sort((a, b) => b[1] - a[1]).map(([name, p]) => bar(name, p, chosen.includes(name)));
  return [make("h2", chosen.join(", ") || word("noLabel")), ...bars];
}

function entityResult(prediction) {
  if (!prediction.entities.length) return [make("p", word("none"))];
  const kinds = [...new Set(prediction.entities.map((entity) => entity.type))].sort();
  const spans = prediction.entities.map((entity) => ({ ...entity, label: entity.type, className: `kind${kinds.indexOf(entity.type) % 8}` }));
  return [make("h2", word("entities")), marked(prediction.text, spans.sort((a, b) => a.start - b.start))];
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
