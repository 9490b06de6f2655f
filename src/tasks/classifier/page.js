// what the served page shows of a class or a score
const TASK = {
  words: { en: { title: "classification", score: "Score" }, zh: { title: "文本分类", score: "分数" } },
  show(prediction) {
    if ("score" in prediction) return [make("h2", word("score")), make("p", prediction.score.toFixed(4))];
    const sorted = Object.entries(prediction.probabilities).sort((a, b) => b[1] - a[1]);
    return [make("h2", prediction.label), ...sorted.map(([name, p]) => bar(name, p))];
  },
};
