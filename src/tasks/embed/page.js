// what the served page shows of a vector: its first numbers, and how similar earlier texts are
const TASK = {
  words: {
    en: { title: "sentence embeddings", vector: "Vector", numbers: "{} numbers", earlier: "Similarity to earlier texts" },
    zh: { title: "句向量", vector: "向量", numbers: "{} 个数", earlier: "与之前文本的相似度" },
  },
  seen: new Map(),  // text -> vector of length 1
  show(prediction, instance) {
    const length = Math.hypot(...prediction.embedding) || 1, unit = prediction.embedding.map((value) => value / length);
    const others = [...this.seen].filter(([text]) => text !== instance.text);
    const cosines = others.map(([text, other]) => [text, other.reduce((sum, value, index) => sum + value * unit[index], 0)]);
    this.seen.set(instance.text, unit);
    const numbers = prediction.embedding.slice(0, 8).map((value) => value.toFixed(4)).join("  ");
    const parts = [make("h2", word("vector")), make("p", word("numbers").replace("{}", unit.length)), make("p", `${numbers}  …`, "dim")];
    const sorted = cosines.sort((a, b) => b[1] - a[1]).map(([text, cosine]) => bar(text, cosine, false, cosine.toFixed(3)));
    return sorted.length ? [...parts, make("h2", word("earlier")), ...sorted] : parts;
  },
};
