// what the served page shows of a class, several labels, a choice or a score
const TASK = {
  words: {
    en: { title: "classification", score: "Score", noLabel: "No label applies.", choices: "Choices, one a line" },
    zh: { title: "文本分类", score: "分数", noLabel: "没有符合的标签。", choices: "选项，每行一个" },
  },
  show(prediction, instance) {
    if ("choice" in prediction) {
      const lines = instance.choices.split("\n").map((line) => line.trim()).filter(Boolean);
      const bars = lines.map((line, number) => bar(line, prediction.probabilities[number], number === prediction.choice));
      return [make("h2", prediction.text), ...bars];
    }
    if ("score" in prediction) return [make("h2", word("score")), make("p", prediction.score.toFixed(4))];
    const sorted = Object.entries(prediction.probabilities).sort((a, b) => b[1] - a[1]);
    const chosen = prediction.labels || [prediction.label];
    return [make("h2", chosen.join(", ") || word("noLabel")), ...sorted.map(([name, p]) => bar(name, p, chosen.includes(name)))];
  },
};
